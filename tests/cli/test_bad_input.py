"""Bad input: one clear two-line error, exit code 2, before any trial, with nothing overwritten."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

SEARCH = {"learning_rate": {"low": 1e-4, "high": 1.0}, "warmup": [0], "precision": ["fp32"]}
TRAINING = {"max_steps": 40, "per_device_train_batch_size": 4}


def texts(folder: Path, **columns: list[Any]) -> dict[str, Any]:
    """Return a task part on a TSV with these columns."""
    pd.DataFrame(columns).to_csv(folder / "rows.tsv", sep="\t", index=False)
    model = {"config": {"model_type": "bert"}}
    return {
        "type": "sequence-classification",
        "model": model,
        "tokenizer": ".",
        "data": {"train": "rows.tsv"},
    }


CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown key": ({"serach": {}}, "serach", "did you mean 'search'?"),
    "wrong type": ({"budget": {"trials": "many"}}, "budget.trials", "many"),
    "impossible range": (
        {"search": {**SEARCH, "learning_rate": {"low": 1.0, "high": 0.1}}},
        "search.learning_rate",
        "low",
    ),
    "warmup longer than the horizon allows": ({"search": {**SEARCH, "warmup": [10]}}, "budget.horizon", "30"),
    "unknown training argument": (
        {"training": {**TRAINING, "weight_decai": 0.1}},
        "training.weight_decai",
        "did you mean 'weight_decay'?",
    ),
    "training argument that is refused": (
        {"training": {**TRAINING, "lr_scheduler_type": "zigzag"}},
        "training.lr_scheduler_type",
        "zigzag",
    ),
    "fp16 without a device": ({"search": {**SEARCH, "precision": ["fp16"]}}, "search.precision[0]", "CUDA"),
    "a GPU that is not there": ({"resources": {"gpus_per_trial": 1}}, "resources.gpus_per_trial", "0"),
}


@pytest.mark.parametrize("case", CASES)
def test_is_told_in_two_lines(
    stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path, case: str
) -> None:
    """Place and value in the first line, the way out in the second, nothing on stdout or on disk."""
    parts, place, word = CASES[case]
    said = stabsearch("run", sweep_file(**parts))
    assert (said.code, said.out) == (2, "")
    assert len(said.error_lines) == 2, said.err
    assert said.error_lines[0].startswith(f"{tmp_path}/sweep.yaml:")
    assert place in said.error_lines[0]
    assert word in said.err
    assert said.error_lines[1].startswith("  ")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("columns", "changes", "code", "place", "words"),
    [
        (
            {"text": ["a", "b"], "label": ["x", "y"]},
            {"text": "sentence"},
            2,
            "task.text",
            "columns: text, label",
        ),
        ({"text": ["a", "b"], "label": ["x", "x"]}, {}, 1, "task.label", "one class only"),
        ({"text": ["a", "b"], "label": [1, 2]}, {}, 1, "task.label", "count from 0"),
        ({"text": ["a"], "label": ["x"]}, {"data": {"train": "no.tsv"}}, 2, "task.data.train", "no.tsv"),
    ],
    ids=["missing column", "one class", "labels from 1", "missing file"],
)
def test_data_that_cannot_be_trained_on(
    stabsearch: Any,
    sweep_file: Callable[..., Path],
    tmp_path: Path,
    columns: dict[str, list[Any]],
    changes: dict[str, Any],
    code: int,
    place: str,
    words: str,
) -> None:
    """The error names the key of the task, and what is there instead; data at fault is a verdict."""
    said = stabsearch("run", sweep_file(task={**texts(tmp_path, **columns), **changes}))
    assert said.code == code
    assert len(said.error_lines) == 2, said.err
    assert place in said.error_lines[0]
    assert words in said.err
    assert not (tmp_path / "runs").exists()


def test_a_tracking_server_that_does_not_answer(
    stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path
) -> None:
    """It is found out before the first trial, and the sweep can be started once it is mended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = sweep_file(tracking={"uri": f"http://127.0.0.1:{port}"})
    said = stabsearch("run", path)
    assert said.code == 2
    assert len(said.error_lines) == 2, said.err
    assert "tracking.uri" in said.error_lines[0]
    assert not list(tmp_path.glob("runs/*/trials.csv"))
    assert (
        stabsearch("run", path, "--quiet", "--set", "tracking.uri=none", "--set", "budget.trials=1").code == 2
    )


def test_an_output_directory_that_is_a_file(
    stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path
) -> None:
    """A file in the way is named and stays as it is."""
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    said = stabsearch("run", sweep_file(output_dir=str(tmp_path / "taken")))
    assert said.code == 2
    assert len(said.error_lines) == 2, said.err
    assert "output_dir" in said.error_lines[0]
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_holds_a_different_sweep(
    stabsearch: Any, sweep_file: Callable[..., Path], tmp_path: Path
) -> None:
    """The difference is named, and nothing of the first sweep changes."""
    assert stabsearch("run", sweep_file(), "--quiet").code in {0, 1, 2}
    folder = tmp_path / "runs" / "tiny"
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    said = stabsearch("run", sweep_file(seed=7))
    assert said.code == 2
    assert len(said.error_lines) == 2, said.err
    assert "holds a different sweep: seed: 0 -> 7" in said.error_lines[0]
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_file_that_is_not_there(stabsearch: Any, tmp_path: Path) -> None:
    """The first thing anyone gets wrong."""
    said = stabsearch("run", tmp_path / "nowhere.yaml")
    assert said.code == 2
    assert len(said.error_lines) == 2
    assert "no such file" in said.error_lines[0]


def test_commands_on_a_folder_without_a_sweep(stabsearch: Any, tmp_path: Path) -> None:
    """status, report, recommend and ui say what they need."""
    for command in ("status", "report", "recommend", "ui"):
        said = stabsearch(command, tmp_path)
        assert said.code == 2, command
        assert len(said.error_lines) == 2, said.err
