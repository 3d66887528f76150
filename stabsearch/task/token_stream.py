"""Tokens of many texts in one array: cut, put into blocks, and what guessing by frequency costs.

Shape letters: N rows, T tokens of all rows one after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabsearch.errors import UserError
from stabsearch.task.rows import Ragged

IGNORED = -100
"""Label that PyTorch's and Transformers' cross-entropies leave out."""


def place_in_row(rows: Ragged) -> NDArray[np.int64]:
    """Return for each token of [T] its place in its row, from 0.

    >>> place_in_row(Ragged.of([[7, 8], [9]])).tolist()
    [0, 1, 0]
    """
    starts_N = rows.starts_N1[:-1]
    return np.arange(len(rows.flat_T)) - np.repeat(starts_N, np.diff(rows.starts_N1))


def cut(rows: Ragged, length: int) -> Ragged:
    """Return rows without what stands behind their first ``length`` tokens.

    >>> cut(Ragged.of([[7, 8], [9]]), 1).flat_T.tolist()
    [7, 9]
    """
    lengths_N = np.minimum(np.diff(rows.starts_N1), length)
    return Ragged(rows.flat_T[place_in_row(rows) < length], np.concatenate([[0], np.cumsum(lengths_N)]))


def packed(columns: Mapping[str, Ragged], length: int) -> dict[str, Ragged]:
    """Return the tokens of all rows, one after another, in blocks of one length.

    What does not fill the last block is left out, as Transformers' ``run_clm.py`` and ``run_mlm.py`` do.

    Args:
        columns: of equal lengths, row by row.
        length: of a block, in tokens.

    Raises:
        UserError: there is not even one block.
    """
    num_tokens = len(next(iter(columns.values())).flat_T)
    num_blocks = num_tokens // length
    if not num_blocks:
        message = f"all texts together are {num_tokens} tokens, fewer than one block of {length}"
        raise UserError(
            message, "lower task.max_length, or leave out task.packing", key=("task", "max_length")
        )
    starts_N1 = np.arange(num_blocks + 1, dtype=np.int64) * length
    return {name: Ragged(rows.flat_T[: starts_N1[-1]], starts_N1) for name, rows in columns.items()}


def unigram_loss(labels_T: NDArray[Any]) -> float:
    """Return the loss of guessing every token by its frequency, nats per token.

    It is the entropy of the labels that count: far below the logarithm of the vocabulary, at which a
    model of random weights starts, because most of a text is made of few tokens.

    >>> round(unigram_loss(np.array([-100, 5, 5, 6, 6])), 3)
    0.693
    """
    _, counts = np.unique(labels_T[labels_T != IGNORED], return_counts=True)
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum())
