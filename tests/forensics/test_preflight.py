"""What speaks against a sweep is said before its first trial."""

from pathlib import Path
from typing import Any

import pytest

from stabsearch.config import Sweep
from stabsearch.errors import UserError
from stabsearch.forensics.preflight import preflight


def sweep(**parts: Any) -> Sweep:
    small = {"type": "quickstart", "num_rows": 64, "hidden_size": 16, "num_hidden_layers": 1}
    return Sweep.model_validate({"name": "s", "task": small, "training": {"max_steps": 50}, **parts})


def test_a_sound_sweep_passes() -> None:
    """Nothing speaks against it, and the number of rows is known."""
    assert preflight(sweep()).num_rows == 64


@pytest.mark.parametrize(
    ("parts", "key", "message"),
    [
        ({"training": {"max_steps": 50, "wight_decay": 0.1}}, ("training", "wight_decay"), "has no field"),
        ({"search": {"precision": ["fp32", "fp16"]}}, ("search", "precision", 1), "silently train in fp32"),
        ({"search": {"precision": ["tf32"]}}, ("search", "precision", 0), "tf32 needs a CUDA device"),
        (
            {
                "task": {"type": "sequence-classification", "model": "none", "data": {"train": "absent.tsv"}},
            },
            ("task", "data", "train"),
            "no such file: absent.tsv",
        ),
        (
            {
                "training": {
                    "max_steps": 50,
                    "lr_scheduler_type": "reduce_lr_on_plateau",
                    "eval_strategy": "steps",
                },
                "budget": {"schedule": "exact"},
            },
            ("training", "lr_scheduler_type"),
            "follows evaluations",
        ),
    ],
)  # fmt: skip
def test_each_fault_names_its_place(parts: dict[str, Any], key: tuple[Any, ...], message: str) -> None:
    """One clear error, with the key of the part that is wrong."""
    with pytest.raises(UserError) as raised:
        preflight(sweep(**parts))
    assert raised.value.key == key
    assert message in raised.value.message


def test_fp16_on_a_cpu_by_request() -> None:
    """The opt-in of the sweep reaches the check."""
    asked = sweep(search={"precision": ["fp16"]}, resources={"allow_fp16_on_cpu": True})
    assert preflight(asked).num_rows == 64


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check leaves no trace in the folder it is run from."""
    monkeypatch.chdir(tmp_path)
    preflight(sweep(training={"max_steps": 50, "output_dir": "somewhere"}))
    assert list(tmp_path.iterdir()) == []
