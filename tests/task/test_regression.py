"""A number, or several, per text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from head_samples import CSV, JSON, TEXTS, head_task

from stabsearch.errors import UserError
from stabsearch.task.registry import build_workload, read_table


def made(folder: Path, numbers: list[Any], **changes: Any) -> Any:
    """Return the workload of a task with one column of numbers."""
    return build_workload(head_task(folder, "regression", {"text": TEXTS, "label": numbers}, **changes))


def targets_of(workload: Any) -> list[Any]:
    return [workload.rows[row]["labels"] for row in range(workload.num_rows)]


@pytest.mark.parametrize("ending", [".parquet", JSON, CSV])
def test_a_number_per_text(tmp_path: Path, ending: str) -> None:
    """Also from a CSV, which knows nothing but text."""
    assert targets_of(made(tmp_path, [1.5, -2, 3, 0], ending=ending)) == [1.5, -2.0, 3.0, 0.0]


def test_text_that_is_a_number_is_one(tmp_path: Path) -> None:
    """With an exponent, a sign or spaces around it."""
    assert targets_of(made(tmp_path, ["1e1", "-.5", " 3 ", "+2."])) == [10.0, -0.5, 3.0, 2.0]


def test_several_numbers_per_text(tmp_path: Path) -> None:
    """In the order in which the task names their columns; the chance loss is a mean over them."""
    columns = {"text": TEXTS, "a": [1, 3, 1, 3], "b": [0.0, 0.0, 4.0, 4.0]}
    task = head_task(tmp_path, "regression", columns, label=["b", "a"])
    workload = build_workload(task)
    assert targets_of(workload) == [[0, 1], [0, 3], [4, 1], [4, 3]]
    assert workload.chance_loss == pytest.approx((4 + 1) / 2)
    assert workload.model(0).config.num_labels == 2
    table = read_table(task)
    assert table is not None
    assert (table.labels, table.kind) == (("b", "a"), "numbers")


@pytest.mark.parametrize("label", ["label", ["label"]])
def test_the_loss_is_the_squared_error(tmp_path: Path, label: Any) -> None:
    """One column is one number per row, however it is named; a batch of one row is one, too."""
    workload = made(tmp_path, [1, 2, 3, 5], label=label)
    model = workload.model(0)
    assert (model.config.problem_type, model.config.num_labels) == ("regression", 1)
    for rows in ([0], [0, 1, 2]):
        made_by = model(**workload.collator([workload.rows[row] for row in rows]))
        numbers = torch.tensor([float(row + 1) for row in rows])
        assert made_by.loss.item() == pytest.approx(
            float((made_by.logits.detach()[:, 0] - numbers).square().mean())
        )
    assert workload.chance_loss == pytest.approx(2.1875)


@pytest.mark.parametrize(
    ("numbers", "ending", "message", "hint"),
    [
        ([1.0, None, 3.0, None], JSON, "is empty in 2 rows, first in row 1", "give them a label"),
        ([1.0, float("nan"), 3.0, 2.0], ".parquet", "empty in 1 rows, first in row 1", "give them a label"),
        ([1.0, 2.0, float("inf"), 2.0], ".parquet", "finite number: inf, first in row 2", "write a number"),
        ([1.0, 1e39, 2.0, 2.0], ".parquet", "no finite number: 1e+39, first in row 1", "write a number"),
        (["1", "2", "good", "3"], CSV, "no finite number: 'good', first in row 2", "sequence-classification"),
        ([[1.0], [2.0], [3.0], [4.0]], JSON, "no finite number: [1.0], first in row 0", "write a number"),
        ([2, 2, 2, 2], JSON, "holds one number only: 2", "nothing can be learned"),
    ],
)
def test_numbers_that_are_none(
    tmp_path: Path, numbers: list[Any], ending: str, message: str, hint: str
) -> None:
    """The first such row is named, and a way out."""
    with pytest.raises(UserError) as raised:
        made(tmp_path, numbers, ending=ending)
    assert message in raised.value.message
    assert hint in raised.value.hint
    assert raised.value.key == ("task", "label")


@pytest.mark.parametrize("label", ["nowhere", ["label", "nowhere"]])
def test_a_column_that_is_not_there_is_found_before_anything_is_made(tmp_path: Path, label: Any) -> None:
    """Before tokenizer and model are looked for."""
    task = head_task(tmp_path, "regression", {"text": TEXTS, "label": [1, 2, 3, 4]}, label=label)
    with pytest.raises(UserError, match="no column 'nowhere'") as raised:
        read_table(task)
    assert raised.value.key == ("task", "label")
