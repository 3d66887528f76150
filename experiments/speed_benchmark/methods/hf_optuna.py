"""Hugging Face's ``trainer.hyperparameter_search(backend="optuna")``: one trial after another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from experiments.speed_benchmark.methods.hf_trainer import searching_trainer
from experiments.speed_benchmark.setting import RATES, Setting


def run(setting: Setting, folder: Path) -> None:
    """Run the search with every core as a thread."""
    torch.set_num_threads(setting.slots)
    searching_trainer(setting, folder).hyperparameter_search(
        backend="optuna", direction="minimize", n_trials=setting.trials, hp_space=_space
    )


def _space(trial: Any) -> dict[str, float]:
    return {"learning_rate": trial.suggest_float("learning_rate", *RATES, log=True)}
