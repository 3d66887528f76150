"""Held-out rows are made as training rows are, numbered as they are, and evenly spread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from head_samples import head_task
from language_samples import task as language_task

from stabsearch.config import HubData, LocalData
from stabsearch.errors import UserError
from stabsearch.task.held_out import held_out_rows
from stabsearch.task.registry import build_workload
from stabsearch.task.workload import RowWorkload

TEXTS = ["good film", "bad film", "a good plot", "bad"]
HEADS: dict[str, dict[str, list[Any]]] = {
    "sequence-classification": {"text": TEXTS, "label": ["no", "yes", "no", "maybe"]},
    "multi-label": {"text": TEXTS, "labels": [["a"], ["b", "c"], [], ["c"]]},
    "regression": {"text": TEXTS, "label": [0.5, 1.5, -1.0, 2.0]},
    "token-classification": {"tokens": [each.split() for each in TEXTS],
                             "ner_tags": [["O", "P"], ["L", "O"], ["O", "P", "O"], ["L"]]},
}  # fmt: skip
LANGUAGE: dict[str, dict[str, list[Any]]] = {
    "causal-lm": {"text": ["w1 w2 w3", "w4 w5", "w1", "w2 w6"]},
    "masked-lm": {"text": ["w1 w2 w3", "w4 w5", "w1", "w2 w6"]},
    "seq2seq": {"source": ["w1 w2", "w3", "w4", "w5"], "target": ["w3", "w2 w1", "w6", "w1"]},
}


def made(folder: Path, kind: str, rows: list[int], **changes: Any) -> RowWorkload:
    """Return the workload of a task whose held-out rows are those of its training rows."""
    columns = {**HEADS, **LANGUAGE}[kind]
    make = head_task if kind in HEADS else language_task
    task = make(folder, kind, columns)
    held_out = pd.DataFrame({name: [values[row] for row in rows] for name, values in columns.items()})
    return with_held_out(task, folder, held_out, **changes)


def with_held_out(task: Any, folder: Path, held_out: pd.DataFrame, **changes: Any) -> RowWorkload:
    path = folder / "held_out.parquet"
    held_out.to_parquet(path)
    data = task.data.model_copy(update={"eval": str(path), **changes})
    workload = build_workload(task.model_copy(update={"data": data}))
    assert isinstance(workload, RowWorkload)
    return workload


@pytest.mark.parametrize("kind", [*HEADS, *LANGUAGE])
def test_they_are_made_as_training_rows_are(tmp_path: Path, kind: str) -> None:
    """Also labels get their numbers, where held-out rows have fewer of them."""
    workload = made(tmp_path, kind, [3, 1])
    assert workload.held_out is not None
    assert [workload.held_out[row] for row in range(2)] == [workload.rows[3], workload.rows[1]]
    assert len(workload.rows) == 4


@pytest.mark.parametrize("kind", [*HEADS, *LANGUAGE])
def test_training_knows_nothing_of_them(tmp_path: Path, kind: str) -> None:
    """Rows, chance loss and model are those of a sweep without."""
    with_them, without = made(tmp_path, kind, [3, 1]), made(tmp_path, kind, [3, 1], eval_rows=0)
    assert without.held_out is None
    assert with_them.chance_loss == without.chance_loss
    assert [with_them.rows[i] for i in range(4)] == [without.rows[i] for i in range(4)]
    names = {key: value.shape for key, value in with_them.model(1).state_dict().items()}
    assert names == {key: value.shape for key, value in without.model(1).state_dict().items()}


NEW: dict[str, Any] = {
    "sequence-classification": "never",
    "multi-label": ["a", "z"],
    "token-classification": ["O", "X"],
}


@pytest.mark.parametrize("kind", list(NEW))
def test_a_label_of_no_training_row_is_refused(tmp_path: Path, kind: str) -> None:
    """The model has no output for it."""
    task = head_task(tmp_path, kind, HEADS[kind])
    frame = pd.DataFrame({name: values[:2] for name, values in HEADS[kind].items()})
    frame.at[0, frame.columns[1]] = NEW[kind]
    with pytest.raises(UserError, match="no training row") as raised:
        with_held_out(task, tmp_path, frame)
    assert raised.value.key == ("task", "data", "eval")
    assert raised.value.message.startswith("held-out rows: ")


def test_a_bad_row_is_named_by_its_own_number(tmp_path: Path) -> None:
    """Not by one that counts the training rows, too."""
    task = head_task(tmp_path, "sequence-classification", HEADS["sequence-classification"])
    frame = pd.DataFrame({"text": TEXTS[:2], "label": ["no", None]})
    with pytest.raises(UserError, match="empty in 1 rows, first in row 1"):
        with_held_out(task, tmp_path, frame)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"text": ["a"]}), "no column 'label' in the data"),
        (pd.DataFrame({"text": [], "label": []}), "they are none"),
    ],
)
def test_rows_that_cannot_be_used_are_said_at_their_key(
    tmp_path: Path, frame: pd.DataFrame, message: str
) -> None:
    task = head_task(tmp_path, "sequence-classification", HEADS["sequence-classification"])
    with pytest.raises(UserError, match=message) as raised:
        with_held_out(task, tmp_path, frame)
    assert raised.value.key == ("task", "data", "eval")


def test_a_few_are_spread_over_all(tmp_path: Path) -> None:
    """Data are often sorted by their labels."""
    path = tmp_path / "rows.csv"
    pd.DataFrame({"row": range(101)}).to_csv(path, index=False)
    seen: list[list[int]] = []

    def keep(frame: pd.DataFrame) -> Any:
        seen.append([int(row) for row in frame["row"]])

    held_out_rows(LocalData(train="unused", eval=str(path), eval_rows=5), keep)
    held_out_rows(LocalData(train="unused", eval=str(path), eval_rows=500), keep)
    assert seen == [[0, 25, 50, 75, 100], list(range(101))]


def test_a_split_of_a_saved_data_set_is_held_out(tmp_path: Path) -> None:
    """The splits of one data set."""
    from datasets import Dataset, DatasetDict

    columns = HEADS["sequence-classification"]
    splits = {"train": columns, "validation": {"text": ["bad film"], "label": ["yes"]}}
    folder = tmp_path / "saved"
    DatasetDict({name: Dataset.from_dict(rows) for name, rows in splits.items()}).save_to_disk(folder)
    task = head_task(tmp_path, "sequence-classification", columns)
    data = HubData(path=str(folder), eval_split="validation")
    workload = build_workload(task.model_copy(update={"data": data}))
    assert isinstance(workload, RowWorkload)
    assert workload.held_out is not None
    assert [workload.held_out[0]] == [workload.rows[1]]
    with pytest.raises(UserError, match="held-out rows: no split 'test'") as raised:
        build_workload(task.model_copy(update={"data": data.model_copy(update={"eval_split": "test"})}))
    assert raised.value.key == ("task", "data", "eval_split")
