"""Rows of a data set: read from local files or the Hub, and tokenised once."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from torch.utils.data import Dataset

from stabsearch.errors import UserError
from stabsearch.task.arrow_data import is_saved, read_arrow, read_saved

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stabsearch.config import HubData, LocalData

READABLE = ".tsv, .csv, .jsonl, .json, .parquet or .arrow"


@dataclass(frozen=True)
class Tokens:
    """What the tokenizer made of the texts, one list per row."""

    ids: list[list[int]]
    segments: list[list[int]] | None = None
    """Which text of a pair each token belongs to, for models that want to know; else None."""


LabelKind = Literal["classes", "numbers", "lists", "token-classes", "none"]
"""What a task makes of its label columns: a class per row, a number per column, several labels per row, a
class per word; none: labels come from the texts themselves."""


@dataclass(frozen=True)
class TaskTable:
    """The training table as it was read, and the columns of it that a task names."""

    frame: pd.DataFrame
    texts: Mapping[str, str]
    """Key of the task (``text``, ``text_pair``) -> column."""
    labels: tuple[str, ...] = ()
    """Columns of the labels."""
    kind: LabelKind = "classes"


@dataclass(frozen=True)
class Ragged:
    """A list of any length per row, all in one array."""

    flat_T: NDArray[Any]
    """The lists of all rows, one after another."""
    starts_N1: NDArray[np.int64]
    """Where each row begins, and at last where the last one ends."""

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]], dtype: Any = np.int32) -> Ragged:
        """Return lists in one array."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        flat = np.concatenate([np.asarray(row, dtype=dtype) for row in rows])
        return cls(flat, np.concatenate([[0], np.cumsum(lengths)]))

    def __len__(self) -> int:
        return len(self.starts_N1) - 1

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self.flat_T[self.starts_N1[index] : self.starts_N1[index + 1]]


Column = Ragged | NDArray[Any]
"""A list per row, or an array with one number or one row of numbers for each: [N] or [N, K]."""


class TokenRows(Dataset[dict[str, Any]]):
    """Tokenised rows in few flat arrays: small in memory, cheap to hand to other processes.

    Args:
        columns: name -> one entry per row, ``input_ids`` among them; a mask of ones is added where
            there is no ``attention_mask``.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = dict(columns)

    def __len__(self) -> int:
        return len(self.columns["input_ids"])

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = {name: column[index].tolist() for name, column in self.columns.items()}
        return row if "attention_mask" in row else _with_mask(row)

    def arrow(self) -> pa.Table:
        """Return the rows as a table on the same memory; only a mask of ones is new."""
        columns: dict[str, Column] = self.columns
        if "attention_mask" not in columns:
            ids = columns["input_ids"]
            assert isinstance(ids, Ragged), "tokens are lists"
            columns = {**columns, "attention_mask": replace(ids, flat_T=np.ones(len(ids.flat_T), np.int8))}
        return pa.table({name: _arrow_column(column) for name, column in columns.items()})


def token_rows(tokens: Tokens, labels: Column) -> TokenRows:
    """Return the rows of tokens with their labels."""
    segments = {} if tokens.segments is None else {"token_type_ids": Ragged.of(tokens.segments)}
    return TokenRows({"input_ids": Ragged.of(tokens.ids), **segments, "labels": labels})


def _with_mask(row: dict[str, Any]) -> dict[str, Any]:
    labels = {"labels": row.pop("labels")} if "labels" in row else {}
    return {**row, "attention_mask": [1] * len(row["input_ids"]), **labels}


def _arrow_column(column: Column) -> pa.Array:
    if isinstance(column, Ragged):
        return pa.LargeListArray.from_arrays(column.starts_N1, pa.array(column.flat_T))
    if column.ndim == 1:
        return pa.array(column)
    starts_N1 = np.arange(len(column) + 1, dtype=np.int64) * column.shape[1]
    return pa.LargeListArray.from_arrays(starts_N1, pa.array(column.reshape(-1)))


def read_rows(data: LocalData | HubData) -> pd.DataFrame:
    """Return the training rows as a table.

    Raises:
        UserError: the file or data set cannot be read, or is empty.
    """
    local = getattr(data, "train", None)
    frame = read_file(Path(local), "train") if local is not None else read_hub(data)
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
    """Return a column of texts; empty texts are texts, missing ones and anything else an error."""
    found = column(frame, name, key)
    missing = np.flatnonzero(found.isna().to_numpy())
    if len(missing):
        raise UserError(f"text column {name!r} is missing in {len(missing)} rows, first in row {missing[0]}",
                        "drop these rows, or give them a text", key=("task", key))  # fmt: skip
    other = [row for row, text in enumerate(found) if not isinstance(text, str)]
    if other:
        first = f"first in row {other[0]}: {found.iloc[other[0]]!r:.60}"
        raise UserError(
            f"text column {name!r} holds no text in {len(other)} rows, {first}",
            "name a column of texts; a number meant as one has to stand in quotes", key=("task", key),
        )  # fmt: skip
    return list(found)


def tokenise(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None, max_length: int
) -> Tokens:
    """Return the tokens of every text or pair, cut at ``max_length`` tokens."""
    encoded = tokenizer(texts, pairs, truncation=True, max_length=max_length, padding=False)
    # a single text is all segment 0, which is what a model assumes when it is told nothing
    return Tokens(encoded["input_ids"], encoded.get("token_type_ids") if pairs else None)


def tokenised_texts(
    tokenizer: PreTrainedTokenizerBase, frame: pd.DataFrame, columns: Mapping[str, str], max_length: int
) -> Tokens:
    """Return the tokens of the texts, or pairs of texts, of a table.

    Args:
        tokenizer: makes them.
        frame: the table.
        columns: ``text``, and for pairs ``text_pair``, each with its column.
        max_length: longest row in tokens; longer ones are cut.
    """
    firsts = texts(frame, columns["text"], "text")
    seconds = texts(frame, columns["text_pair"], "text_pair") if "text_pair" in columns else None
    return tokenise(tokenizer, firsts, seconds, max_length)


def read_file(path: Path, name: str) -> pd.DataFrame:
    """Return a file's rows.

    Args:
        path: its ending tells the format.
        name: key of ``task.data`` that it stands at.

    Raises:
        UserError: it cannot be read.
    """
    # nothing is converted: the text "007" is not 7, and the text "NA" is not missing
    as_text: dict[str, Any] = {"dtype": str, "keep_default_na": False}
    as_is: dict[str, Any] = {"dtype": False}
    readers: dict[str, Callable[[], pd.DataFrame]] = {
        ".tsv": lambda: pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, **as_text),
        ".csv": lambda: pd.read_csv(path, **as_text),
        ".jsonl": lambda: pd.read_json(path, lines=True, **as_is),
        ".json": lambda: pd.read_json(path, **as_is),
        ".parquet": lambda: pd.read_parquet(path),
        ".arrow": lambda: read_arrow(path),
    }
    reader = readers.get(path.suffix.lower())
    key = ("task", "data", name)
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


def read_hub(data: Any) -> pd.DataFrame:
    """Return the rows of a split of a data set on the Hub, or of a folder of the same layout.

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        import datasets
    except ImportError:
        raise UserError("a data set by Hub id needs the package 'datasets'",
                        "pip install 'stabsearch[hub]'", key=("task", "data")) from None  # fmt: skip
    datasets.disable_progress_bars()
    if is_saved(data.path):
        return read_saved(data)
    try:
        loaded = datasets.load_dataset(data.path, data.name, split=data.split, revision=data.revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"cannot load data set {data.path!r}: {reason}",
                        "check id, name and split, or give a local file as task.data.train",
                        key=("task", "data", "path")) from None  # fmt: skip
    frame: pd.DataFrame = loaded.to_pandas()
    return frame
