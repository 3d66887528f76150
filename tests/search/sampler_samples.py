"""A search space and studies for the tests of the samplers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler

SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-6, 1e-2, log=True),
    "precision": CategoricalDistribution(["fp32", "bf16"]),
    "warmup_steps": CategoricalDistribution([0, 100]),
}

Objective = Callable[[dict[str, Any]], float]


def boundary_at(learning_rate: float) -> Objective:
    """Return an objective that fails above a learning rate, surely."""
    return lambda params: 0.0 if params["learning_rate"] > learning_rate else 1.0


def run(
    sampler: BaseSampler,
    objective: Objective,
    num_trials: int,
    space: dict[str, BaseDistribution] = SPACE,
) -> optuna.Study:
    """Return a study after that many trials, one after another."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(num_trials):
        trial = study.ask(space)
        study.tell(trial, objective(trial.params))
    return study


def proposals(study: optuna.Study) -> list[dict[str, Any]]:
    """Return the parameters of all trials."""
    return [trial.params for trial in study.trials]
