"""Batches made at once from flat columns: bit for bit those of Transformers' collators, and faster.

Shape letters: B rows of a batch, T tokens of the longest.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import (
    BatchEncoding,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
)

from stabsearch.task.rows import Column, Ragged, TokenRows
from stabsearch.task.token_stream import IGNORED

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Picked:
    """Rows of one batch, still in their columns."""

    rows: TokenRows
    numbers: Sequence[int]


class PickedRows(TokenRows):
    """Rows that a loader takes out a whole batch at a time, for one of the collators below."""

    def __getitems__(self, numbers: Sequence[int]) -> list[Picked]:
        """Return a batch as the only thing in a list, as loaders pass it on to their collator."""
        return [Picked(self, numbers)]


class Padding:
    """Makes a batch of picked rows itself, and leaves rows that come as dictionaries to Transformers."""

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, features: list[Any], *rest: Any, **named: Any) -> Any:
        """Return a batch, padded to its longest row."""
        if len(features) == 1 and isinstance(features[0], Picked):
            return self._padded(features[0])
        made: Any = super().__call__(features, *rest, **named)  # type: ignore[misc]
        return made

    def _padded(self, picked: Picked) -> BatchEncoding:
        columns, numbers_B = picked.rows.columns, np.asarray(picked.numbers)
        made = {name: self._column(name, column, numbers_B) for name, column in columns.items()}
        if "attention_mask" not in made:
            labels = {"labels": made.pop("labels")} if "labels" in made else {}
            made |= {"attention_mask": self._mask(columns["input_ids"], numbers_B), **labels}
        return BatchEncoding(made)

    def _column(self, name: str, column: Column, numbers_B: Any) -> torch.Tensor:
        if isinstance(column, Ragged):
            return self._filled([column[number] for number in numbers_B], self._filler(name))
        values = column[numbers_B]
        # as torch makes tensors of Python's numbers
        return torch.from_numpy(values.astype(np.float32 if values.dtype.kind == "f" else np.int64))

    def _mask(self, ids: Column, numbers_B: Any) -> torch.Tensor:
        return self._filled([np.ones_like(ids[number]) for number in numbers_B], 0)

    def _filled(self, lists: list[Any], filler: int) -> torch.Tensor:
        filled_BT = np.full((len(lists), max(map(len, lists))), filler, dtype=np.int64)
        is_left = self.tokenizer.padding_side == "left"
        for row_T, tokens in zip(filled_BT, lists, strict=True):
            row_T[len(row_T) - len(tokens) if is_left else 0 :][: len(tokens)] = tokens
        return torch.from_numpy(filled_BT)

    def _filler(self, name: str) -> int:
        fillers = {
            "input_ids": self.tokenizer.pad_token_id,
            "token_type_ids": self.tokenizer.pad_token_type_id,
            "labels": IGNORED,
        }
        return int(fillers.get(name, 0))


class TextPadding(Padding, DataCollatorWithPadding):  # type: ignore[misc]
    """Pads texts; labels are numbers of their rows."""


class TokenPadding(Padding, DataCollatorForTokenClassification):  # type: ignore[misc]
    """Pads texts with a label per token."""


class SequencePadding(Padding, DataCollatorForSeq2Seq):  # type: ignore[misc]
    """Pads texts whose labels are lists of any length."""


def picked_or_plain(rows: TokenRows, collator: Any, model: Any, *, removes_unused: bool) -> TokenRows:
    """Return the rows as their collator takes them fastest.

    Args:
        rows: of the workload.
        collator: of the trial.
        model: that is trained.
        removes_unused: the Trainer leaves out columns that the model does not take. It looks at rows that
            are dictionaries alone: with such a column, rows have to be some.
    """
    if not isinstance(collator, Padding):
        return rows
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    taken = {*inspect.signature(base.forward).parameters, "labels"}
    if removes_unused and not taken >= rows.columns.keys() | {"attention_mask"}:
        return rows
    return PickedRows(rows.columns)
