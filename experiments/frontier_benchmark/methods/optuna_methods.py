"""Optuna's own samplers, used as people use them: maximize the learning rate, penalize failures."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler

from experiments.frontier_benchmark.methods.base import Point, Running
from experiments.frontier_benchmark.methods.bracket import BracketEstimator
from experiments.frontier_benchmark.world import Trial, World
from stabsearch.records import Context

_PENALTY = 2.0  # decades below the range; chosen: clearly worse than the worst survivor


def search_space(world: World) -> dict[str, BaseDistribution]:
    """Return the world as Optuna sees it, in the names of a sweep."""
    precision, warmup_steps, max_grad_norm = (
        tuple(dict.fromkeys(values)) for values in zip(*(each[:3] for each in world.contexts), strict=True)
    )
    if len(precision) * len(warmup_steps) * len(max_grad_norm) != len(world.contexts):
        raise ValueError("contexts must be the full product of precision, warmup_steps and max_grad_norm")
    return {
        "learning_rate": FloatDistribution(10.0**world.low, 10.0**world.high, log=True),
        "precision": CategoricalDistribution(precision),
        "warmup_steps": CategoricalDistribution(warmup_steps),
        "max_grad_norm": CategoricalDistribution(max_grad_norm),
    }


def quiet_study(sampler: BaseSampler) -> optuna.Study:
    """Return an in-memory study that maximizes and prints nothing."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna.create_study(direction="maximize", sampler=sampler)


class JointOptuna:
    """One study over learning rate and contexts."""

    is_finished = False

    def __init__(self, world: World, sampler: BaseSampler) -> None:
        self._world, self._space = world, search_space(world)
        self._study = quiet_study(sampler)

    def ask(self, running: Sequence[Running]) -> Point:
        """Return what the sampler proposes."""
        params = self._study.ask(self._space).params
        context = Context(params["precision"], params["warmup_steps"], params["max_grad_norm"])
        return Point(list(self._world.contexts).index(context), math.log10(params["learning_rate"]))

    def tell(self, number: int, point: Point, trial: Trial) -> None:
        """Tell the study the trial's value."""
        self._study.tell(number, _value(self._world, point, trial))


class OptunaPerContext:
    """One study per context, in turn."""

    is_finished = False

    def __init__(self, world: World, sampler_for: Callable[[int], BaseSampler]) -> None:
        self._world = world
        self._space = {"learning_rate": search_space(world)["learning_rate"]}
        self._studies = [quiet_study(sampler_for(context)) for context in range(len(world.contexts))]
        self._num_asked = 0

    def ask(self, running: Sequence[Running]) -> Point:
        """Return what the sampler of the next context proposes."""
        context = self._num_asked % len(self._studies)
        self._num_asked += 1
        return Point(context, math.log10(self._studies[context].ask(self._space).params["learning_rate"]))

    def tell(self, number: int, point: Point, trial: Trial) -> None:
        """Tell the context's study the trial's value."""
        value = _value(self._world, point, trial)
        self._studies[point.context].tell(number // len(self._studies), value)


class BestTrial(BracketEstimator):
    """Recommends the trial with the best value, as Optuna does."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._best: Point | None = None

    def learn(self, point: Point, trial: Trial) -> None:
        """Count a trial, and keep the highest survivor."""
        super().learn(point, trial)
        if not trial.failed and (self._best is None or point.x > self._best.x):
            self._best = point

    def recommend(self) -> Point | None:
        """Return the highest learning rate that survived, wherever it was."""
        return self._best


def tpe(seed: int, *, num_startup: int, is_multivariate: bool) -> TPESampler:
    """Return TPE for parallel trials; starts at random for a few trials."""
    return TPESampler(
        seed=seed, n_startup_trials=num_startup, multivariate=is_multivariate, constant_liar=True
    )


def gaussian_process(seed: int) -> GPSampler:
    """Return Optuna's Gaussian-process sampler with its defaults."""
    return GPSampler(seed=seed)


def _value(world: World, point: Point, trial: Trial) -> float:
    """Return the log10 learning rate of a survivor; for failures less, and the less the earlier."""
    return world.low - _PENALTY + trial.steps / world.horizon if trial.failed else point.x
