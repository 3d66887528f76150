"""Several labels per text: lists of names, of ids, of zeros and ones, or a column for each."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from head_samples import CSV, JSON, TEXTS, head_task

from stabsearch.errors import UserError
from stabsearch.task.registry import build_workload, read_table


def made(folder: Path, labels: list[Any], **changes: Any) -> Any:
    """Return the workload of a task with one column of labels."""
    columns = {"text": TEXTS[: len(labels)], "labels": labels}
    return build_workload(head_task(folder, "multi-label", columns, **changes))


def labels_of(workload: Any) -> list[list[float]]:
    return [workload.rows[row]["labels"] for row in range(workload.num_rows)]


NAMES = [["b", "a"], [], ["a"], ["b"]]
EXPECTED = [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("ending", [".parquet", JSON])
@pytest.mark.parametrize("labels", [NAMES, [[1, 1], [0, 0], [1, 0], [0, 1]]], ids=["names", "zeros and ones"])
def test_a_list_per_row(tmp_path: Path, labels: list[Any], ending: str) -> None:
    """Names are sorted, whatever order they come in; a row may have none."""
    assert labels_of(made(tmp_path, labels, ending=ending)) == EXPECTED


def test_lists_in_a_csv_are_json(tmp_path: Path) -> None:
    """A CSV has no lists of its own."""
    assert labels_of(made(tmp_path, ['["b", "a"]', "[]", '["a"]', '["b"]'], ending=CSV)) == EXPECTED


def test_ids_count_from_0(tmp_path: Path) -> None:
    """As many labels as the largest says, also if no row has some of them."""
    assert labels_of(made(tmp_path, [[3, 0], [], [0]])) == [[1, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize("ending", [".parquet", CSV])
def test_a_column_per_label(tmp_path: Path, ending: str) -> None:
    """In the order in which the task names them."""
    columns = {"text": TEXTS, "one": [1, 0, 0, 1], "other": [0, 1, 0, 1]}
    task = head_task(tmp_path, "multi-label", columns, label=["other", "one"], ending=ending)
    assert labels_of(build_workload(task)) == [[0, 1], [1, 0], [0, 0], [1, 1]]
    table = read_table(task)
    assert table is not None
    assert (table.labels, table.kind) == (("other", "one"), "lists")


def test_the_chance_loss_is_a_mean_over_labels(tmp_path: Path) -> None:
    """A label that one row in four has, and one that all have and that costs nothing."""
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    workload = made(tmp_path, [["a", "b"], ["b"], ["b"], ["b"]])
    assert workload.chance_loss == pytest.approx(quarter / 2)


def test_the_loss_is_that_of_labels_which_do_not_exclude_each_other(tmp_path: Path) -> None:
    """The kind of problem is said, not guessed from the labels; these are floats."""
    workload = made(tmp_path, NAMES)
    model = workload.model(0)
    batch = workload.collator([workload.rows[row] for row in range(2)])
    assert (model.config.problem_type, model.config.num_labels) == ("multi_label_classification", 2)
    assert batch["labels"].dtype == torch.float32
    made_by = model(**batch)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(made_by.logits, batch["labels"])
    assert torch.equal(made_by.loss, expected)


MIXED = ['["a"]', "[1]", "[]", "[]"]


@pytest.mark.parametrize(
    ("labels", "ending", "message", "hint"),
    [
        ([["a"], None, ["b"], ["c"]], JSON, "holds nothing, in row 1", "lists come from JSONL"),
        (["joy", "anger,joy", "joy", ""], CSV, "holds 'joy', which is no list, in row 0", "as JSON text"),
        ([0, 1, 0, 1], JSON, "holds 0, which is no list, in row 0", "label: [one, other]"),
        ([[0, 1], [1, 0], [1], [0, 0]], JSON, "2 zeros and ones in row 0 and 1 in row 2", "as many in every"),
        ([[0], [1], [-1, 2], []], JSON, "no label: -1, first in row 2", "integers from 0"),
        ([[0.5], [1], [2], []], JSON, "no label: 0.5, first in row 0", "integers from 0"),
        ([["a"], [None, "b"], [], []], JSON, "a missing label: None, first in row 1", "drop it"),
        (MIXED, CSV, "something else: 1, first in row 1", "all labels as names"),
        ([[0, 1, 0], [0, 0, 2], [1, 1, 1], []], JSON, "twice in one row: 0, first in row 0", "label once"),
        ([["a"], ["a"], ["a"], ["a"]], JSON, "all rows have the same labels", "nothing can be learned"),
        ([[], [], [], []], JSON, "all rows have the same labels", "nothing can be learned"),
    ],
)
def test_labels_that_are_none(
    tmp_path: Path, labels: list[Any], ending: str, message: str, hint: str
) -> None:
    """The first such row is named, and a way out."""
    with pytest.raises(UserError) as raised:
        made(tmp_path, labels, ending=ending)
    assert message in raised.value.message
    assert hint in raised.value.hint
    assert raised.value.key == ("task", "label")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 2, 0, 1], "neither 0 nor 1: 2, first in row 1"),
        ([0, 1, None, 1], "is empty in 1 rows, first in row 2"),
        (["no", "yes", "no", "yes"], "neither 0 nor 1: 'no', first in row 0"),
        ([1, 1, 1, 1], "all rows have the same labels, in 'one'"),
    ],
)
def test_columns_that_are_no_labels(tmp_path: Path, values: list[Any], message: str) -> None:
    """Only 0 and 1 say whether a row has a label."""
    columns = {"text": TEXTS, "one": values}
    with pytest.raises(UserError, match=message) as raised:
        build_workload(head_task(tmp_path, "multi-label", columns, label=["one"]))
    assert raised.value.key == ("task", "label")


@pytest.mark.parametrize(("label", "key"), [("label", "nowhere"), ("label", ["labels", "nowhere"])])
def test_a_column_that_is_not_there_is_found_before_anything_is_made(
    tmp_path: Path, label: str, key: Any
) -> None:
    """Before tokenizer and model are looked for."""
    task = head_task(tmp_path, "multi-label", {"text": TEXTS, "labels": NAMES}, **{label: key})
    with pytest.raises(UserError, match="no column 'nowhere'") as raised:
        read_table(task)
    assert raised.value.key == ("task", "label")
