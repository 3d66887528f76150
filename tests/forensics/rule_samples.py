"""What the samples of several kinds of rules are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from preflight_samples import gpt2, look, stacked, tokenizer
from transformers import DataCollatorWithPadding

from stabsearch.forensics.finding import Finding


def dtype_collator(dtype: torch.dtype) -> Any:
    """Return a collator that casts labels."""

    def collate(made: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = dict(DataCollatorWithPadding(tokenizer())([dict(row) for row in made]))
        return batch | {"labels": batch["labels"].to(dtype)}

    return collate


def altered(change: Callable[[dict[str, Any]], Any]) -> Any:
    """Return a collator whose batch was changed."""
    plain = dtype_collator(torch.int64)
    return lambda made: change(plain(made))


def causal(made: list[dict[str, Any]], **settings: Any) -> list[Finding]:
    return look(made, gpt2(), stacked, **settings)


def multi_hot(row: int, kind: Callable[[Any], Any] = float) -> list[Any]:
    return [kind(1), kind(row % 2), kind(row % 3 == 0)]


MULTI = {"problem_type": "multi_label_classification"}

IDS = list(range(12))

TEN = [i % 3 for i in range(12)]
