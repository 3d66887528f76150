"""stabsearch itself: the whole command, with study, frontier, reports and MLflow mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from experiments.speed_benchmark.events import Trained, tell
from experiments.speed_benchmark.setting import RATES, Setting

NAME = "benchmark"


def run(setting: Setting, folder: Path) -> None:
    """Run ``stabsearch run`` on a sweep of the same trials."""
    from stabsearch.cli.app import app

    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep_of(setting, folder)), encoding="utf-8")
    try:
        app(["run", str(path), "--quiet"])
    except SystemExit as end:  # whatever the answer is: the trials were run
        if end.code not in {0, 1, 2}:
            raise
    notes(folder)


def sweep_of(setting: Setting, folder: Path) -> dict[str, Any]:
    """Return a sweep that spends its whole budget on trials of this length."""
    gpus = 0 if setting.device == "cpu" else 1 / setting.slots
    return {
        "name": NAME,
        "output_dir": str(folder / "runs"),
        "task": {"type": "quickstart", "hidden_size": setting.hidden_size,
                 "num_hidden_layers": setting.num_hidden_layers},
        "training": {"max_steps": 10 * setting.steps, "per_device_train_batch_size": setting.batch},
        "search": {"learning_rate": {"low": RATES[0], "high": RATES[1]}, "warmup": [0],
                   "max_grad_norm": [1.0], "precision": ["fp32"], "tolerance": None},
        "budget": {"trials": setting.trials, "horizon": setting.steps, "concurrency": setting.slots},
        "risk": {"confirmation_trials": 0},
        "resources": {"cpus_per_trial": 1, "gpus_per_trial": gpus},
    }  # fmt: skip


def notes(folder: Path) -> None:
    """Tell the benchmark what the study says of each trial."""
    from stabsearch.sweep.reading import read_sweep

    for record in read_sweep(folder / "runs" / NAME).findings.records:
        first = record.started_at + record.startup_s
        tell(folder, Trained(record.worker, first, first + record.train_s, record.steps))
