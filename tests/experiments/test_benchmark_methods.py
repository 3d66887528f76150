"""Every compared method: proposals inside the range, honest abstention, the same seed the same search."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from experiments.frontier_benchmark.loop import WORKERS, Run
from experiments.frontier_benchmark.methods.base import Point, Running
from experiments.frontier_benchmark.methods.bisection import Bisection
from experiments.frontier_benchmark.methods.bracket import BracketEstimator
from experiments.frontier_benchmark.methods.optuna_methods import BestTrial
from experiments.frontier_benchmark.methods.registry import METHODS
from experiments.frontier_benchmark.world import Trial
from experiments.frontier_benchmark.worlds import FAMILIES

QUICK = [name for name in METHODS if name != "Optuna GP, joint"]  # it imports torch: seconds
SURVIVED, FAILED = Trial(False, False, 400), Trial(True, False, 40)


class Watched:
    """A searcher that remembers what was proposed."""

    def __init__(self, searcher: object) -> None:
        self.searcher, self.points = searcher, []

    is_finished = property(lambda self: self.searcher.is_finished)

    def ask(self, running: list[Running]) -> Point | None:
        assert len(running) < WORKERS
        point = self.searcher.ask(running)
        self.points += [point] if point else []
        return point

    def tell(self, number: int, point: Point, trial: Trial) -> None:
        assert self.points[number] == point
        self.searcher.tell(number, point, trial)


def searched(name: str, *, seed: int = 100, family: str = "smooth", budget: float = 3.0) -> Iterator[object]:
    world = FAMILIES[family](100)
    method = METHODS[name].make(world, seed)
    watched = Watched(method.searcher)
    run = Run(world, type(method)(watched, method.estimator), seed)
    list(run.until(budget))
    return world, method, watched.points


@pytest.mark.parametrize("name", QUICK)
def test_proposals_and_answers_lie_inside_the_range(name: str) -> None:
    world, method, points = searched(name)
    estimate, point = method.estimator.estimate(), method.estimator.recommend()
    given = [each for each in (estimate.point_C, estimate.low_C, estimate.high_C) if not np.isnan(each).any()]
    assert all(0 <= each.context < 12 and world.low <= each.x <= world.high for each in points)
    assert all(len(each) == 12 for each in given)
    assert all((each >= world.low - 1e-9).all() and (each <= world.high + 1e-9).all() for each in given)
    assert point is None or world.low - 1e-9 <= point.x <= world.high + 1e-9


@pytest.mark.parametrize("name", QUICK)
def test_the_same_seed_proposes_the_same_trials_and_another_seed_others(name: str) -> None:
    first, again, other = (searched(name, seed=seed)[2] for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", [name for name in QUICK if METHODS[name].is_calibration_wanted])
def test_predictions_are_probabilities_that_grow_with_the_rate(name: str) -> None:
    predicted = searched(name)[1].estimator.predict(0, np.array([-6.0, -4.0, -2.0]))
    assert 0 <= predicted[0] < predicted[1] < predicted[2] <= 1


def test_reported_progress_reaches_the_sampler() -> None:
    """Otherwise the variant would be compared with itself."""
    told, silent = (searched(name, budget=6.0)[2] for name in ("stabsearch, progress reported", "stabsearch"))
    assert told != silent


def test_a_bracket_is_read_between_the_first_bad_rate_and_the_one_below() -> None:
    estimator = BracketEstimator(FAMILIES["smooth"](100))
    for x, trial in [(-5.0, SURVIVED), (-4.0, SURVIVED), (-3.0, FAILED), (-2.5, SURVIVED)]:
        estimator.learn(Point(0, x), trial)
    assert estimator.estimate().point_C[0] == pytest.approx(-3.5)
    assert estimator.recommend() == Point(0, -4.0)


def test_a_best_trial_is_the_highest_survivor_wherever_others_failed() -> None:
    estimator = BestTrial(FAMILIES["smooth"](100))
    for x, trial in [(-5.0, SURVIVED), (-3.0, FAILED), (-2.5, SURVIVED)]:
        estimator.learn(Point(0, x), trial)
    assert estimator.recommend() == Point(0, -2.5)


def test_bisection_goes_below_a_failure_and_above_survivors() -> None:
    world = FAMILIES["smooth"](100)
    below, above = (Bisection(world, seed=0, num_seeds=1) for _ in range(2))
    below.tell(0, below.ask([]), FAILED)
    above.tell(0, above.ask([]), SURVIVED)
    assert below.estimate().point_C.min() == pytest.approx(-5.0)
    assert above.estimate().point_C.max() == pytest.approx(-3.0)


def test_bisection_ends_by_itself_and_names_the_end_of_a_dead_range() -> None:
    world, method, _ = searched("bisection, 3 seeds", family="nothing stable", budget=math.inf)
    assert method.searcher.is_finished
    assert np.median(method.estimator.estimate().point_C) == world.low
