"""A sweep's broken trial, from ``stabsearch run`` to a replay in another process."""

import csv
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from fresh_process import run_afresh
from sweep_runs import PROGRAM

from stabsearch import run_sweep

SWEEP: dict[str, Any] = {
    "name": "tiny",
    "task": {"type": "quickstart", "num_rows": 64, "hidden_size": 16, "num_hidden_layers": 1},
    "training": {"max_steps": 40, "per_device_train_batch_size": 4},
    "search": {"learning_rate": {"low": 1e-4, "high": 1e24}, "warmup": [0], "max_grad_norm": [0],
               "precision": ["fp32", "bf16"]},
    "budget": {"trials": 8, "horizon": 8},
    "tracking": {"uri": "none"},
    "resources": {"driver": "inline"},
}  # fmt: skip


def written(folder: Path, **parts: Any) -> Path:
    """Return a sweep file whose results go beside it."""
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**SWEEP, "output_dir": str(folder / "runs"), **parts}, sort_keys=False))
    return path


@pytest.mark.cli
def test_the_bundle_of_a_broken_trial_replays_bit_exactly(tmp_path: Path) -> None:
    """The trial's row names its bundle; another process comes to the same bits."""
    ended = subprocess.run(
        [PROGRAM, "run", str(written(tmp_path))], capture_output=True, text=True, check=False
    )
    assert ended.returncode in {0, 1, 2}, ended.stderr
    folder = tmp_path / "runs" / "tiny"
    with (folder / "trials.csv").open() as file:
        trials = list(csv.DictReader(file))
    broken = [trial for trial in trials if trial["outcome"] == "nonfinite"]
    assert broken
    assert all(trial["bundle"] for trial in broken)
    bundles = sorted({trial["bundle"] for trial in broken})
    kept = sorted(path.name for path in (folder / "bad_batches").iterdir() if path.is_dir())
    assert kept == bundles
    places = [folder / "bad_batches" / name for name in bundles]
    captured = [("replay", place, "--json") for place in places]
    initial = [(*command, "--weights", "initial") for command in captured]
    answers = run_afresh([*captured, *initial])
    for said in answers[: len(places)]:
        assert said.code == 0, said.err
        assert said.data["verdict"] == "bit-exact"
        assert said.data["captured"]["cause"] == "learning_rate"
        assert said.data["origin"] is not None
    assert all(said.code == 1 for said in answers[len(places) :]), "it took the training to break it"


def test_bundles_can_be_switched_off(tmp_path: Path) -> None:
    """``bad_batches.max_gib: 0``: nothing is kept, and nothing else changes."""
    result = run_sweep(written(tmp_path, bad_batches={"max_gib": 0}))
    assert not (tmp_path / "runs" / "tiny" / "bad_batches").exists()
    assert (result.trials["outcome"] == "nonfinite").any()
    assert result.trials["bundle"].isna().all()
