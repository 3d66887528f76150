"""Commands as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stabsearch.config.load import load_sweep
from stabsearch.version import __version__

HEAVY = ("torch", "transformers", "ray", "mlflow", "optuna", "pandas", "matplotlib")


def test_starts_without_heavy_libraries() -> None:
    """--help is quick because nothing heavy is imported."""
    code = f"import sys, stabsearch.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version_and_help(stabsearch: Any) -> None:
    """The two questions every program answers."""
    assert stabsearch("--version").out == f"stabsearch {__version__}\n"
    said = stabsearch("--help")
    assert said.code == 0
    assert "recommend" in said.out


@pytest.mark.parametrize("arguments", [["fly"], ["run"], ["run", "--fast", "x.yaml"], ["status", "a", "b"]])
def test_wrong_usage_is_exit_code_2(stabsearch: Any, arguments: list[str]) -> None:
    """Usage errors never look like a verdict."""
    said = stabsearch(*arguments)
    assert said.code == 2
    assert "Traceback" not in said.err


def test_init_writes_a_sweep_that_loads(stabsearch: Any, tmp_path: Path) -> None:
    """The starter is valid as it is, and is never written over something."""
    path = tmp_path / "new.yaml"
    assert stabsearch("init", path).code == 0
    assert load_sweep(path).sweep.task.type == "quickstart"
    before = path.read_bytes()
    said = stabsearch("init", path)
    assert said.code == 2
    assert "exists already" in said.err
    assert path.read_bytes() == before


def test_schema_is_a_json_schema(stabsearch: Any) -> None:
    """Editors read it."""
    schema = json.loads(stabsearch("schema").out)
    assert schema["type"] == "object"
    assert "budget" in schema["properties"]


def test_an_internal_error_is_no_verdict(
    stabsearch: Any, sweep_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own bugs exit with 2 and say that they are ours."""

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("stabsearch.sweep.run_sweep", broken)
    said = stabsearch("run", sweep_file())
    assert said.code == 2
    assert "ZeroDivisionError: oops" in said.err
    assert "a bug in stabsearch" in said.err


def test_ctrl_c_is_exit_code_130(
    stabsearch: Any, sweep_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt says how to go on."""

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stabsearch.sweep.run_sweep", stopped)
    said = stabsearch("run", sweep_file())
    assert said.code == 130
    assert "goes on where it stopped" in said.err
    assert "Traceback" not in said.err


def test_dry_run_shows_the_plan_and_writes_nothing(
    stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path
) -> None:
    """Contexts, horizon and how the budget is split."""
    said = stabsearch("run", sweep_file(), "--dry-run")
    assert said.code == 0
    assert "6: 1 canary, 2 search, 3 confirmation" in said.out
    assert not (tmp_path / "runs").exists()
    assert json.loads(stabsearch("run", sweep_file(), "--dry-run", "--json").out)["contexts"]


def test_run_then_status_report_and_recommend(
    stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path
) -> None:
    """A small sweep from its file to its arguments, in the three formats."""
    path = sweep_file(
        budget={"trials": 16, "horizon": 12},
        risk={"confirmation_trials": 2},
        training={"max_steps": 40, "per_device_train_batch_size": 16},
        search={
            "learning_rate": {"low": 1e-3, "high": 3.0},
            "warmup": [0],
            "precision": ["fp32"],
            "max_grad_norm": [1.0],
        },
    )
    said = stabsearch("run", path, "--json", "--quiet")
    answer = json.loads(said.out)
    assert said.err == ""
    assert said.code == answer["exit_code"]
    folder = tmp_path / "runs" / "tiny"
    status = json.loads(stabsearch("status", folder, "--json").out)
    assert status["progress"] == {"done": 16, "running": 0, "budget": 16, "is_driven": False}
    assert status["answer"] == answer["answer"]
    assert json.loads(stabsearch("report", folder, "--json").out)["answer"] == answer["answer"]
    recommended = stabsearch("recommend", folder)
    assert recommended.code == said.code
    if answer["recommended"]:
        assert json.loads(recommended.out) == answer["recommended"]
        assert (
            yaml.safe_load(stabsearch("recommend", folder, "--format", "yaml").out) == answer["recommended"]
        )
        assert "TrainingArguments(" in stabsearch("recommend", folder, "--format", "python").out


def test_recommend_for_a_precision_that_was_not_searched(
    stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path
) -> None:
    """It says what was."""
    stabsearch("run", sweep_file(), "--quiet")
    said = stabsearch("recommend", tmp_path / "runs" / "tiny", "--precision", "bf16")
    assert said.code == 2
    assert "it searched fp32" in said.error_lines[1]


@pytest.mark.parametrize("risk", ["0", "0.5", "-1", "2"])
def test_recommend_refuses_an_impossible_risk(
    stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path, risk: str
) -> None:
    """Two lines, no traceback."""
    stabsearch("run", sweep_file(), "--quiet")
    said = stabsearch("recommend", tmp_path / "runs" / "tiny", "--max-risk", risk)
    assert said.code == 2
    assert len(said.error_lines) == 2, said.err
    assert "below 0.5" in said.error_lines[0]


def test_a_reader_that_leaves_does_not_change_the_verdict(sweep_file: Callable[..., Path]) -> None:
    """`stabsearch run ... | true` in a script still sees the exit code of the sweep."""
    path = sweep_file(budget={"trials": 1, "horizon": 8})
    command = f"{sys.executable} -m stabsearch.cli run {path} --quiet"
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_dry_run_makes_every_check_of_a_run(
    stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path
) -> None:
    """A folder that holds a different sweep is found out without running anything."""
    stabsearch("run", sweep_file(), "--quiet")
    said = stabsearch("run", sweep_file(seed=9), "--dry-run")
    assert said.code == 2
    assert "holds a different sweep" in said.err
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    assert stabsearch("run", sweep_file(output_dir=str(tmp_path / "taken")), "--dry-run").code == 2
