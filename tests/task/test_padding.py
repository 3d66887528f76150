"""Batches that are padded in one go, where no task of ours goes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DataCollatorWithPadding

from stabsearch.task.padding import PickedRows, TextPadding, picked_or_plain
from stabsearch.task.quickstart import word_tokenizer
from stabsearch.task.rows import Ragged, TokenRows


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_tokenizer(num_classes=2)


@pytest.fixture
def pairs(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> TokenRows:
    monkeypatch.setattr(tokenizer, "_pad_token_type_id", 3)
    ids, segments = [[5, 6, 7], [8]], [[0, 1, 1], [0]]
    return TokenRows({"input_ids": Ragged.of(ids), "token_type_ids": Ragged.of(segments)})


def test_segments_are_padded_with_the_tokenizers_own_segment(tokenizer: Any, pairs: TokenRows) -> None:
    """As Transformers does; and rows without labels make a batch without."""
    collator = TextPadding(tokenizer)
    made = collator(PickedRows(pairs.columns).__getitems__([1, 0]))
    meant = DataCollatorWithPadding(tokenizer)([pairs[1], pairs[0]])
    assert list(made) == list(meant)
    assert made["token_type_ids"].tolist() == [[0, 3, 3], [0, 1, 1]]
    assert all(torch.equal(made[name], tensor) for name, tensor in meant.items())


class Untyped(torch.nn.Module):
    """A model that knows no segments."""

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None) -> None:
        """Take what it takes."""


def test_a_column_that_the_trainer_is_to_leave_out_is_left_to_it(tokenizer: Any, pairs: TokenRows) -> None:
    """It looks for them in rows that are dictionaries."""
    collator, model = TextPadding(tokenizer), Untyped()
    assert picked_or_plain(pairs, collator, model, removes_unused=True) is pairs
    kept = picked_or_plain(pairs, collator, model, removes_unused=False)
    assert isinstance(kept, PickedRows)


def test_rows_stay_plain_for_any_other_collator(tokenizer: Any, pairs: TokenRows) -> None:
    """Only those of this module know what to do with a whole batch."""
    collator = DataCollatorWithPadding(tokenizer)
    assert picked_or_plain(pairs, collator, Untyped(), removes_unused=False) is pairs
