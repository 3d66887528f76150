"""Every method by name, with the budget it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from experiments.frontier_benchmark.methods.base import Estimator, Method, Searcher
from experiments.frontier_benchmark.methods.bisection import Bisection
from experiments.frontier_benchmark.methods.bracket import BracketEstimator
from experiments.frontier_benchmark.methods.frontier import FrontierEstimator, FrontierSearcher
from experiments.frontier_benchmark.methods.hinted import as_earlier_sweep, as_ramps
from experiments.frontier_benchmark.methods.optuna_methods import (
    BestTrial,
    JointOptuna,
    OptunaPerContext,
    gaussian_process,
    tpe,
)
from experiments.frontier_benchmark.methods.per_context import PerContext
from experiments.frontier_benchmark.methods.plain import GridSearcher, RandomSearcher
from experiments.frontier_benchmark.world import World
from stabsearch.frontier.hints import PriorHint


@dataclass(frozen=True)
class Entry:
    """A method as the benchmark runs it."""

    make: Callable[[World, int], Method]
    """From world and seed."""
    budget: float
    """Horizons of training that it may spend."""
    is_calibration_wanted: bool = False
    """Whether its predicted failure probabilities are compared with the true ones."""
    runs_stabsearch: bool = False
    """Whether its numbers depend on the stabsearch that is installed."""
    max_trials: int | None = None
    """Where a method that gets slower with every trial ends, whatever its budget."""


def _of_one(both: Searcher | Estimator) -> Method:
    return Method(both, both)  # type: ignore[arg-type]  # one object is both


def _ours(world: World, seed: int, *, is_graded: bool = True, reports_progress: bool = False) -> Method:
    searcher = FrontierSearcher(world, seed, is_graded=is_graded, reports_progress=reports_progress)
    return Method(searcher, FrontierEstimator(world, is_graded=is_graded))


def _hinted(world: World, seed: int, hints: Sequence[PriorHint]) -> Method:
    return Method(FrontierSearcher(world, seed, hints=hints), FrontierEstimator(world, hints=hints))


def _tpe_per_context(world: World, seed: int) -> Method:
    searcher = OptunaPerContext(
        world, lambda context: tpe(seed * 1000 + context, num_startup=4, is_multivariate=False)
    )
    return Method(searcher, BestTrial(world))


METHODS: MappingProxyType[str, Entry] = MappingProxyType(
    {
        "stabsearch": Entry(_ours, 80, True, True),
        "stabsearch, no grades": Entry(lambda w, s: _ours(w, s, is_graded=False), 80, True, True),
        "stabsearch, progress reported": Entry(
            lambda w, s: _ours(w, s, reports_progress=True), 80, True, True
        ),
        "stabsearch, after ramps": Entry(lambda w, s: _hinted(w, s, as_ramps(w, s)), 80, True, True),
        "stabsearch, after an earlier sweep": Entry(
            lambda w, s: _hinted(w, s, as_earlier_sweep(w, s)), 80, True, True
        ),
        "stabsearch 0.1, per context": Entry(lambda w, s: _of_one(PerContext(w, s)), 80, True),
        "grid": Entry(lambda w, s: Method(GridSearcher(w, s), BracketEstimator(w)), 300),
        "grid, our estimator": Entry(
            lambda w, s: Method(GridSearcher(w, s), FrontierEstimator(w)), 120, runs_stabsearch=True
        ),
        "random": Entry(lambda w, s: Method(RandomSearcher(w, s), BracketEstimator(w)), 300),
        "random, our estimator": Entry(
            lambda w, s: Method(RandomSearcher(w, s), FrontierEstimator(w)), 120, runs_stabsearch=True
        ),
        "Optuna TPE, joint": Entry(
            lambda w, s: Method(JointOptuna(w, tpe(s, num_startup=10, is_multivariate=True)), BestTrial(w)),
            120,
        ),
        "Optuna TPE, per context": Entry(_tpe_per_context, 120),
        "Optuna GP, joint": Entry(
            lambda w, s: Method(JointOptuna(w, gaussian_process(s)), BestTrial(w)), 60, max_trials=120
        ),
        "bisection, 1 seed": Entry(lambda w, s: _of_one(Bisection(w, s, 1)), 300),
        "bisection, 3 seeds": Entry(lambda w, s: _of_one(Bisection(w, s, 3)), 300),
    }
)
"""Budgets as in the published reference numbers; what the slow Gaussian process gets is what it can use."""

_BY_CHOICE = {
    "stabsearch, progress reported",
    "stabsearch, after ramps",
    "stabsearch, after an earlier sweep",
}
DEFAULT = tuple(name for name in METHODS if name not in _BY_CHOICE)
"""What a run without ``--methods`` compares."""
