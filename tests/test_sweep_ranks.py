"""A sweep whose trials are two processes each, through Ray."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event, Thread

import pytest

from stabsearch import run_sweep
from stabsearch.capture.bundle import read_bundle
from stabsearch.config import Sweep
from stabsearch.errors import UserError

PARTS = {
    "name": "two",
    "task": {"type": "quickstart", "num_rows": 64, "hidden_size": 16, "num_hidden_layers": 1},
    "training": {"num_train_epochs": 4, "per_device_train_batch_size": 4},
    "search": {"learning_rate": {"low": 1e-4, "high": 1e24}, "warmup": [0], "precision": ["fp32"],
               "max_grad_norm": [0]},
    "budget": {"trials": 6, "horizon": 6},
    "tracking": {"uri": "none"},
}  # fmt: skip


@pytest.mark.ray
def test_a_sweep_of_trials_of_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every trial trains with two, from which follow the steps of the full run; a broken one is kept."""
    parts = {**PARTS, "output_dir": str(tmp_path), "resources": {"processes_per_trial": 2}}
    monkeypatch.setenv("STABSEARCH_TEST", str(tmp_path))
    with Ranks(f"STABSEARCH_TEST={tmp_path}") as ranks:
        result = run_sweep(Sweep.model_validate(parts))
    folder = tmp_path / "two"
    trials = result.trials
    assert len(trials) == 6
    assert {"stable", "nonfinite"} <= set(trials["outcome"])
    records = [record for record in result.findings.records if record.effective]
    assert {record.effective.num_processes for record in records if record.effective} == {2}
    assert result.answer.max_steps == 4 * 8, "64 rows in batches of 2 x 4"
    kept = [read_bundle(path.parent) for path in (folder / "bad_batches").glob("*/bundle.json")]
    assert kept
    assert {len(micro_batch.rows or ()) for bundle in kept for micro_batch in bundle.manifest.window} == {4}
    assert len(ranks.seen) >= 2
    assert not ranks.running(), "all of them ended with the sweep"
    with pytest.raises(UserError, match=r"resources\.processes_per_trial: 2 -> 1"):
        run_sweep(Sweep.model_validate({**parts, "resources": {}}))


@pytest.mark.ray
def test_a_trial_that_no_node_can_hold_is_refused(tmp_path: Path) -> None:
    """Its processes speak over one machine's loopback; waiting for a larger one would be for ever."""
    cores = len(os.sched_getaffinity(0))
    parts = {**PARTS, "output_dir": str(tmp_path), "resources": {"processes_per_trial": cores + 1}}
    with pytest.raises(UserError, match=r"no room for a single trial: it needs .* on one node"):
        run_sweep(Sweep.model_validate(parts))


class Ranks:
    """Sees the processes of a sweep's trials, by a mark in their environment: other tests may run beside."""

    def __init__(self, mark: str) -> None:
        self._mark = mark.encode()
        self.seen: set[str] = set()
        self._over = Event()
        self._thread = Thread(target=self._look)

    def __enter__(self) -> Ranks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            self.seen |= self.running()

    def running(self) -> set[str]:
        """Return the ids of those that run now."""
        return {path.parts[2] for path in Path("/proc").glob("[0-9]*/cmdline") if self._is_one(path)}

    def _is_one(self, path: Path) -> bool:
        try:
            is_rank = b"rank_process" in path.read_bytes()
            return is_rank and self._mark in path.with_name("environ").read_bytes()
        except OSError:
            return False
