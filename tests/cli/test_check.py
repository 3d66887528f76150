"""``stabsearch check`` as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BAD = "text\tlabel\n" + "".join(f"good film {i}\t{i % 2 if i != 5 else -3}\n" for i in range(20))


@pytest.fixture
def bad_task(tmp_path: Path) -> dict[str, Any]:
    """Return a task on a table with one label below 0."""
    (tmp_path / "rows.tsv").write_text(BAD, encoding="utf-8")
    return {
        "type": "sequence-classification",
        "model": {"config": {"model_type": "bert"}},
        "tokenizer": ".",
        "data": {"train": "rows.tsv"},
    }


def test_a_sound_sweep(stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path) -> None:
    """Exit 0, a line with the verdict, and nothing is written."""
    said = stabsearch("check", sweep_file())
    assert said.code == 0
    assert "✓ nothing speaks against starting: 64 rows looked at\n" in said.out
    assert not (tmp_path / "runs").exists()


def test_a_warning_does_not_stop_anything(stabsearch: Any, sweep_file: Callable[..., Path]) -> None:
    """What was seen and the way out, in plain lines where nobody watches."""
    said = stabsearch("check", sweep_file(), "--set", "training.adam_beta2=0.5")
    assert said.code == 0
    assert "warning: STAB-O004: adam_beta2 is 0.5" in said.out
    assert "  fix: set adam_beta1=0.9" in said.out
    assert "◐ can start: 1 warning, 64 rows looked at\n" in said.out


def test_data_at_fault_is_a_verdict(
    stabsearch: Any, sweep_file: Callable[..., Path], bad_task: dict[str, Any]
) -> None:
    """Exit 1, with the row."""
    said = stabsearch("check", sweep_file(task=bad_task))
    assert said.code == 1
    assert "error: STAB-D011: label column 'label' holds ids -3 to 1, below 0 in 1 of 20 rows" in said.out
    assert "  rows: 5\n" in said.out
    assert said.out.splitlines()[-1].startswith("✗ do not start: 1 error")


def test_the_same_as_one_json_object(
    stabsearch: Any, sweep_file: Callable[..., Path], bad_task: dict[str, Any]
) -> None:
    """Every field of a finding, for programs."""
    said = stabsearch("check", sweep_file(task=bad_task), "--json")
    data = json.loads(said.out)
    assert (said.code, said.err, data["exit_code"], data["num_rows"]) == (1, "", 1, 20)
    (finding,) = data["findings"]
    assert (finding["rule"], finding["rows"], finding["key"]) == ("STAB-D011", [5], ["task", "label"])


def test_a_sweep_that_cannot_be_read_is_exit_2(
    stabsearch: Any, sweep_file: Callable[..., Path], bad_task: dict[str, Any]
) -> None:
    """Reading problems are no verdict."""
    said = stabsearch("check", sweep_file(task=bad_task | {"label": "nowhere"}))
    assert (said.code, said.out) == (2, "")
    assert len(said.error_lines) == 2
    assert "no column 'nowhere'" in said.error_lines[0]


def test_run_refuses_what_check_refuses(
    stabsearch: Any, sweep_file: Callable[..., Path], bad_task: dict[str, Any], tmp_path: Path
) -> None:
    """The same rule, two lines, exit 1, before anything is written."""
    said = stabsearch("run", sweep_file(task=bad_task))
    assert said.code == 1
    assert len(said.error_lines) == 2
    assert "task.label: STAB-D011: " in said.error_lines[0]
    assert "(row 5)" in said.error_lines[0]
    assert not (tmp_path / "runs").exists()
