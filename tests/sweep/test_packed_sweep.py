"""Sweeps that leave to measuring how many trials run at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stabsearch.config import Sweep
from stabsearch.config.load import LoadedSweep, load_sweep
from stabsearch.config.source import Source
from stabsearch.driver import packing
from stabsearch.driver.packing import Packing
from stabsearch.errors import UserError
from stabsearch.search.stored import read_study, sweep_in
from stabsearch.sweep.prepared import Prepared, checked
from stabsearch.sweep.running import run_sweep
from stabsearch.sweep.setting_up import work_order

SWEEP: dict[str, Any] = {
    "name": "packed",
    "task": {"type": "quickstart", "num_rows": 64, "hidden_size": 16, "num_hidden_layers": 1},
    "training": {"max_steps": 40},
    "search": {"learning_rate": {"low": 1e-4, "high": 1e-2}, "warmup": [0], "precision": ["fp32"]},
    "budget": {"trials": 3, "horizon": 6},
    "risk": {"confirmation_trials": 0},
    "tracking": {"uri": "none"},
    "resources": "auto",
}


@pytest.mark.ray
def test_a_sweep_measures_once_and_goes_on_as_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured is in the study, and its trials ran so."""
    monkeypatch.setattr(packing, "MEASURE_S", 0.1)
    sweep = Sweep.model_validate({**SWEEP, "output_dir": str(tmp_path)})
    assert len(run_sweep(sweep).findings.records) == 3
    found = stored(tmp_path / "packed").packing
    assert found is not None
    assert found.tried[0].trials == 1
    assert stored(tmp_path / "packed").resources.cpus_per_trial == found.cores / found.trials
    monkeypatch.setattr(packing, "measured", None)
    assert len(run_sweep(sweep).findings.records) == 3


def stored(folder: Path) -> Prepared:
    return Prepared.from_json(sweep_in(read_study(folder)))


def test_trials_take_what_was_measured() -> None:
    """Cores and threads are those of the packing, and the workload is that of the preflight."""
    prepared = checked(LoadedSweep(Sweep.model_validate(SWEEP), Source()))
    order = work_order(replace(prepared, packing=Packing(1, on_gpu=False, cores=8, tried=())))
    assert order.setup.num_threads == 8
    assert order.build is not None
    assert order.build(order.task) is prepared.workload


@pytest.mark.parametrize("shows", [True, False])
def test_auto_means_this_machine_and_its_gpu(shows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written down it is what it stands for."""
    monkeypatch.setattr("stabsearch.config.model.visible_gpus", lambda: ("0",) if shows else ())
    resources = Sweep.model_validate(SWEEP).resources
    assert (resources.packing, resources.gpus_per_trial) == ("auto", float(shows))
    assert Sweep.model_validate(Sweep.model_validate(SWEEP).model_dump()).resources == resources


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (
            "{packing: auto, address: 'ray://x:1'}",
            "resources.address: trials are packed by measuring on this",
        ),
        ("{packing: auto, driver: inline}", "resources.driver: an inline driver runs one trial at a time"),
        (
            "{packing: auto, gpus_per_trial: 0.5}",
            "resources.gpus_per_trial: how many share one GPU is measured",
        ),
        ("{packing: auto, processes_per_trial: 2}", "resources.processes_per_trial: trials of several"),
        ("automatic", "resources: "),
    ],
)
def test_what_cannot_be_packed_is_refused(tmp_path: Path, resources: str, message: str) -> None:
    """With its place in the file."""
    path = tmp_path / "sweep.yaml"
    path.write_text(
        f"name: t\ntask: {{type: quickstart}}\ntraining: {{max_steps: 40}}\nresources: {resources}\n"
    )
    with pytest.raises(UserError) as error:
        load_sweep(path)
    assert message in str(error.value)
