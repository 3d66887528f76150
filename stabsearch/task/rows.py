"""Rows of a data set: read from local files or the Hub, and tokenised once."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch.utils.data import Dataset

from stabsearch.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stabsearch.config import HubData, LocalData

READABLE = ".tsv, .csv, .jsonl, .json or .parquet"


class TokenRows(Dataset[dict[str, Any]]):
    """Tokenised rows in two flat arrays: small in memory, cheap to hand to other processes."""

    def __init__(self, token_ids: list[list[int]], labels_N: NDArray[np.int64]) -> None:
        lengths = np.array([len(row) for row in token_ids], dtype=np.int64)
        self._starts_N1 = np.concatenate([[0], np.cumsum(lengths)])
        self._flat_T = np.concatenate([np.asarray(row, dtype=np.int32) for row in token_ids])
        self._labels_N = labels_N

    def __len__(self) -> int:
        return len(self._labels_N)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = self._flat_T[self._starts_N1[index] : self._starts_N1[index + 1]]
        return {
            "input_ids": ids.tolist(),
            "attention_mask": [1] * len(ids),
            "labels": int(self._labels_N[index]),
        }


def read_rows(data: LocalData | HubData, trust_remote_code: bool) -> pd.DataFrame:
    """Return the training rows as a table.

    Raises:
        UserError: the file or data set cannot be read, or is empty.
    """
    local = getattr(data, "train", None)
    frame = _read_file(Path(local)) if local is not None else _read_hub(data, trust_remote_code)
    if frame.empty:
        raise UserError("the training data has no rows", key=("task", "data"))
    return frame


def column(frame: pd.DataFrame, name: str, key: str) -> pd.Series[Any]:
    """Return one column; an error names the columns that there are."""
    if name not in frame.columns:
        known = ", ".join(map(str, frame.columns))
        raise UserError(f"no column {name!r} in the training data (columns: {known})",
                        f"name the right column as task.{key}", key=("task", key))  # fmt: skip
    return frame[name]


def tokenise(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None, max_length: int
) -> list[list[int]]:
    """Return the token ids of every text, cut at ``max_length`` tokens."""
    encoded = tokenizer(texts, pairs, truncation=True, max_length=max_length, padding=False)
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def _read_file(path: Path) -> pd.DataFrame:
    readers = {
        ".tsv": lambda: pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False),
        ".csv": lambda: pd.read_csv(path, keep_default_na=False),
        ".jsonl": lambda: pd.read_json(path, lines=True),
        ".json": lambda: pd.read_json(path),
        ".parquet": lambda: pd.read_parquet(path),
    }
    reader = readers.get(path.suffix.lower())
    key = ("task", "data", "train")
    if reader is None:
        raise UserError(f"cannot read {path.name}: the ending tells the format", f"use {READABLE}", key=key)
    try:
        return reader()
    except FileNotFoundError:
        raise UserError(f"no such file: {path}", "a relative path starts at the sweep's folder", key=key) from None
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"cannot read {path}: {reason}", f"is it really {path.suffix}?", key=key) from None


def _read_hub(data: Any, trust_remote_code: bool) -> pd.DataFrame:
    try:
        import datasets
    except ImportError:
        raise UserError("a data set by Hub id needs the package 'datasets'",
                        "pip install 'stabsearch[hub]'", key=("task", "data")) from None  # fmt: skip
    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(data.path, data.name, split=data.split, revision=data.revision,
                                       **({"trust_remote_code": True} if trust_remote_code else {}))  # fmt: skip
    except (OSError, ValueError, ConnectionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"cannot load data set {data.path!r}: {reason}",
                        "check id, name and split, or give a local file as task.data.train",
                        key=("task", "data", "path")) from None  # fmt: skip
    frame: pd.DataFrame = loaded.to_pandas()
    return frame
