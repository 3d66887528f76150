"""Collators that spoil healthy rows; importable by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding

from experiments.fault_gallery.sentences import tokenizer

Row = dict[str, Any]
Batch = dict[str, Any]


class _Spoilt:
    """Pads as usual, then does something to the batch."""

    def __init__(self) -> None:
        self._pad = DataCollatorWithPadding(tokenizer())

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """Return the batch of some rows."""
        batch = dict(self._pad(list(rows)))
        self.spoil(batch)
        return batch

    def spoil(self, batch: Batch) -> None:
        """Change the batch in place."""
        raise NotImplementedError


class OneLabelShort(_Spoilt):
    """Loses the label of the last row."""

    def spoil(self, batch: Batch) -> None:
        """Change the labels or the mask."""
        batch["labels"] = batch["labels"][:-1]


class NoLabels(_Spoilt):
    """Calls the labels something that the model does not know."""

    def spoil(self, batch: Batch) -> None:
        """Change the labels or the mask."""
        del batch["labels"]


class AllHidden(_Spoilt):
    """An attention mask of zeros: the model is not shown a single token."""

    def spoil(self, batch: Batch) -> None:
        """Change the labels or the mask."""
        batch["attention_mask"] = torch.zeros_like(batch["attention_mask"])


class InvertedMask(_Spoilt):
    """Shows the padding and hides the text."""

    def spoil(self, batch: Batch) -> None:
        """Change the labels or the mask."""
        batch["attention_mask"] = 1 - batch["attention_mask"]


class Lists(_Spoilt):
    """Hands out lists instead of tensors."""

    def spoil(self, batch: Batch) -> None:
        """Change the labels or the mask."""
        batch.update({name: values.tolist() for name, values in batch.items()})


class Transposed:
    """Tags by position and row instead of by row and position: as many, and all in the wrong place."""

    def __init__(self) -> None:
        self._pad = DataCollatorForTokenClassification(tokenizer())

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """Return the batch of some rows."""
        batch = dict(self._pad(list(rows)))
        batch["labels"] = batch["labels"].T.contiguous()
        return batch


class PadToLength:
    """Pads every batch to one length, as fixed shapes need it; a healthy thing to do."""

    def __init__(self, length: int) -> None:
        self._pad = DataCollatorWithPadding(tokenizer(), padding="max_length", max_length=length)

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """Return the batch of some rows."""
        return dict(self._pad(list(rows)))
