"""Hugging Face's ``trainer.hyperparameter_search(backend="ray")``: a new worker for each trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.speed_benchmark.methods.hf_trainer import searching_trainer
from experiments.speed_benchmark.methods.own_ray import own_ray, per_trial
from experiments.speed_benchmark.setting import RATES, Setting


def run(setting: Setting, folder: Path) -> None:
    """Run the search as its documentation shows it."""
    from ray import tune

    def space(_: Any) -> dict[str, Any]:
        return {"learning_rate": tune.loguniform(*RATES)}

    with own_ray(setting):
        searching_trainer(setting, folder).hyperparameter_search(
            backend="ray", direction="minimize", n_trials=setting.trials, hp_space=space, verbose=0,
            resources_per_trial=per_trial(setting), storage_path=str(folder / "ray_results"),
        )  # fmt: skip
