"""What several columns of the training rows say together: tokens, mask and labels.

Shape letters: N rows, T tokens of a block's rows one after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabsearch.forensics.facts.columns import Column, count_per_row, fingerprints

IDS, MASK = "input_ids", "attention_mask"


@dataclass(frozen=True)
class Marks:
    """Token ids with a meaning; None where there is none."""

    pad_id: int | None = None
    """Padding, where the token stands for nothing else."""
    label_pad_id: int | None = None
    """Label that is padding where its token is hidden; None: any label is."""
    unk_id: int | None = None
    ignore_index: int = -100
    shifts: bool = False
    """The loss predicts each label from the token before: the first label never counts."""
    pads_labels: bool = False
    """Labels are a sequence of their own, in which the padding token is never a label."""
    label: str = "labels"
    """Column of the labels."""
    special_ids: frozenset[int] = frozenset()
    """Tokens that a collator never hides; empty: it hides none at all."""


@dataclass(frozen=True)
class Crossed:
    """What several columns say together, per row."""

    padding_N: NDArray[np.int64]
    """Padding tokens."""
    unknown_N: NDArray[np.int64]
    """Unknown tokens."""
    seen_padding_N: NDArray[np.int64]
    """Padding tokens that the mask shows."""
    hidden_tokens_N: NDArray[np.int64]
    """Tokens other than padding that the mask hides."""
    padded_labels_N: NDArray[np.int64]
    """Labels that the loss counts although their token is padding."""
    supervised_N: NDArray[np.int64]
    """Labels that the loss counts."""
    maskable_N: NDArray[np.int64]
    """Tokens that a collator may hide; 0 where none does."""
    fingerprint_N: NDArray[np.uint64]
    """Equal for rows of the same tokens."""


def has_tokens(block: Mapping[str, Column]) -> bool:
    """Return whether the rows hold token ids."""
    return IDS in block and block[IDS].is_list and block[IDS].kind == "int"


def cross(block: Mapping[str, Column], num_rows: int, marks: Marks) -> Crossed:
    """Return what the columns of a block that holds token ids say together."""
    ids, lengths = block[IDS].values_T, block[IDS].lengths_N
    assert lengths is not None, "token ids are lists"
    none = np.zeros(num_rows, dtype=np.int64)
    is_pad = ids == marks.pad_id if marks.pad_id is not None else np.zeros(len(ids), dtype=bool)
    shown = _shown(block, lengths)
    return Crossed(
        padding_N=count_per_row(is_pad, lengths),
        unknown_N=none if marks.unk_id is None else count_per_row(ids == marks.unk_id, lengths),
        seen_padding_N=none if shown is None else count_per_row(is_pad & shown, lengths),
        hidden_tokens_N=none if shown is None else count_per_row(~is_pad & ~shown, lengths),
        padded_labels_N=_padded_labels(block, is_pad if shown is None else ~shown, marks),
        supervised_N=_supervised(block.get(marks.label), num_rows, marks),
        maskable_N=count_per_row(~np.isin(ids, [*marks.special_ids]), lengths) if marks.special_ids else none,
        fingerprint_N=fingerprints(ids, lengths),
    )


def _shown(block: Mapping[str, Column], lengths: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """Return which tokens the mask shows; None without a mask that has a number for each token."""
    mask = block.get(MASK)
    if mask is None or mask.lengths_N is None or not np.array_equal(mask.lengths_N, lengths):
        return None
    return np.asarray(mask.values_T > 0)


def _padded_labels(block: Mapping[str, Column], is_padding: NDArray[np.bool_], marks: Marks) -> Any:
    """Return how many labels of each row are counted by the loss although they are padding."""
    labels, ids = block.get(marks.label), block[IDS].lengths_N
    assert ids is not None, "token ids are lists"
    if labels is None or labels.lengths_N is None or not len(labels.values_T):
        return np.zeros(len(ids), dtype=np.int64)
    if marks.pads_labels:
        return count_per_row(labels.values_T == marks.label_pad_id, labels.lengths_N)
    if not is_padding.any() or not np.array_equal(labels.lengths_N, ids):
        return np.zeros(len(ids), dtype=np.int64)
    is_wrong = labels.values_T != marks.ignore_index
    if marks.label_pad_id is not None:
        is_wrong = labels.values_T == marks.label_pad_id
    return count_per_row(is_wrong & is_padding, ids)


def _supervised(labels: Column | None, num_rows: int, marks: Marks) -> NDArray[np.int64]:
    if labels is None or not len(labels.values_T):
        return np.zeros(num_rows, dtype=np.int64)
    lengths = labels.lengths_N if labels.lengths_N is not None else np.ones(num_rows, dtype=np.int64)
    counted = labels.values_T != marks.ignore_index
    if marks.shifts and labels.is_list:
        counted[(np.cumsum(lengths) - lengths)[lengths > 0]] = False
    return lengths.copy() if counted.all() else count_per_row(counted, lengths)
