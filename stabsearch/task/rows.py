"""Rows of a data set: read from local files or the Hub, and tokenised once."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from torch.utils.data import Dataset

from stabsearch.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stabsearch.config import HubData, LocalData

READABLE = ".tsv, .csv, .jsonl, .json or .parquet"


@dataclass(frozen=True)
class Tokens:
    """What the tokenizer made of the texts, one list per row."""

    ids: list[list[int]]
    segments: list[list[int]] | None = None
    """Which text of a pair each token belongs to, for models that want to know; else None."""


@dataclass(frozen=True)
class TaskTable:
    """The training table as it was read, and the columns of it that a task names."""

    frame: pd.DataFrame
    texts: Mapping[str, str]
    """Key of the task (``text``, ``text_pair``) -> column."""
    label: str
    """Column of the labels."""


class TokenRows(Dataset[dict[str, Any]]):
    """Tokenised rows in two flat arrays: small in memory, cheap to hand to other processes."""

    def __init__(self, tokens: Tokens, labels_N: NDArray[np.int64]) -> None:
        lengths = np.array([len(row) for row in tokens.ids], dtype=np.int64)
        self._starts_N1 = np.concatenate([[0], np.cumsum(lengths)])
        self._flat_T = _flat(tokens.ids)
        self._segments_T = _flat(tokens.segments) if tokens.segments else None
        self._labels_N = labels_N

    def __len__(self) -> int:
        return len(self._labels_N)

    def __getitem__(self, index: int) -> dict[str, Any]:
        place = slice(self._starts_N1[index], self._starts_N1[index + 1])
        ids = self._flat_T[place].tolist()
        segments = {} if self._segments_T is None else {"token_type_ids": self._segments_T[place].tolist()}
        return {
            "input_ids": ids,
            **segments,
            "attention_mask": [1] * len(ids),
            "labels": int(self._labels_N[index]),
        }

    def arrow(self) -> pa.Table:
        """Return the rows as a table on the same memory; only the mask, which is all ones, is new."""
        columns = {"input_ids": self._flat_T, "attention_mask": np.ones(len(self._flat_T), dtype=np.int8)}
        if self._segments_T is not None:
            columns["token_type_ids"] = self._segments_T
        lists = {
            name: pa.LargeListArray.from_arrays(self._starts_N1, pa.array(flat))
            for name, flat in columns.items()
        }
        return pa.table({**lists, "labels": self._labels_N})


def _flat(rows: list[list[int]]) -> NDArray[np.int32]:
    return np.concatenate([np.asarray(row, dtype=np.int32) for row in rows])


def read_rows(data: LocalData | HubData) -> pd.DataFrame:
    """Return the training rows as a table.

    Raises:
        UserError: the file or data set cannot be read, or is empty.
    """
    local = getattr(data, "train", None)
    frame = _read_file(Path(local)) if local is not None else _read_hub(data)
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


def texts(frame: pd.DataFrame, name: str, key: str) -> list[str]:
    """Return a column of texts; empty texts are texts, missing ones an error."""
    found = column(frame, name, key)
    missing = np.flatnonzero(found.isna().to_numpy())
    if len(missing):
        raise UserError(f"text column {name!r} is missing in {len(missing)} rows, first in row {missing[0]}",
                        "drop these rows, or give them a text", key=("task", key))  # fmt: skip
    return [str(text) for text in found]


def tokenise(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None, max_length: int
) -> Tokens:
    """Return the tokens of every text or pair, cut at ``max_length`` tokens."""
    encoded = tokenizer(texts, pairs, truncation=True, max_length=max_length, padding=False)
    # a single text is all segment 0, which is what a model assumes when it is told nothing
    return Tokens(encoded["input_ids"], encoded.get("token_type_ids") if pairs else None)


def _read_file(path: Path) -> pd.DataFrame:
    # nothing is converted: the text "007" is not 7, and the text "NA" is not missing
    as_text: dict[str, Any] = {"dtype": str, "keep_default_na": False}
    as_is: dict[str, Any] = {"dtype": False}
    readers: dict[str, Callable[[], pd.DataFrame]] = {
        ".tsv": lambda: pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, **as_text),
        ".csv": lambda: pd.read_csv(path, **as_text),
        ".jsonl": lambda: pd.read_json(path, lines=True, **as_is),
        ".json": lambda: pd.read_json(path, **as_is),
        ".parquet": lambda: pd.read_parquet(path),
    }
    reader = readers.get(path.suffix.lower())
    key = ("task", "data", "train")
    if reader is None:
        raise UserError(f"cannot read {path.name}: the ending tells the format", f"use {READABLE}", key=key)
    try:
        frame: pd.DataFrame = reader()
    except FileNotFoundError:
        raise UserError(
            f"no such file: {path}", "a relative path starts at the sweep's folder", key=key
        ) from None
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"cannot read {path}: {reason}", f"is it really {path.suffix}?", key=key) from None
    return frame


def _read_hub(data: Any) -> pd.DataFrame:
    try:
        import datasets
    except ImportError:
        raise UserError("a data set by Hub id needs the package 'datasets'",
                        "pip install 'stabsearch[hub]'", key=("task", "data")) from None  # fmt: skip
    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(data.path, data.name, split=data.split, revision=data.revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"cannot load data set {data.path!r}: {reason}",
                        "check id, name and split, or give a local file as task.data.train",
                        key=("task", "data", "path")) from None  # fmt: skip
    frame: pd.DataFrame = loaded.to_pandas()
    return frame
