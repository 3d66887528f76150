"""What the benchmark reports of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.frontier_benchmark.cell import Cell, measure
from experiments.frontier_benchmark.certificate import certify
from experiments.frontier_benchmark.loop import Run
from experiments.frontier_benchmark.methods.base import Estimate, Method, Point, without_interval
from experiments.frontier_benchmark.methods.bracket import BracketEstimator
from experiments.frontier_benchmark.methods.registry import METHODS
from experiments.frontier_benchmark.report import comparison
from experiments.frontier_benchmark.results import append, load, missing
from experiments.frontier_benchmark.scores import covered_share, regret_of
from experiments.frontier_benchmark.summary import interval, table_of
from experiments.frontier_benchmark.world import Trial
from experiments.frontier_benchmark.worlds import FAMILIES

WORLD = FAMILIES["smooth"](100)


class Always:
    """Recommends one point and proposes it, forever."""

    is_finished, learns_from_confirmation = False, False

    def __init__(self, point: Point) -> None:
        self.point, self.learned = point, []

    def ask(self, running: object) -> Point:
        return self.point

    def tell(self, number: int, point: Point, trial: Trial) -> None:
        pass

    def learn(self, point: Point, trial: Trial) -> None:
        self.learned.append(trial)

    def estimate(self) -> Estimate:
        return without_interval(WORLD.truth_C)

    def recommend(self) -> Point:
        return self.point


def run_of(point: Point, budget: float) -> tuple[Run, Always]:
    method = Always(point)
    run = Run(WORLD, Method(method, method), seed=100)
    list(run.until(budget))
    return run, method


def test_the_steps_of_every_finished_trial_are_charged() -> None:
    run, method = run_of(Point(0, -2.0), 5.0)
    assert run.steps == sum(trial.steps for trial in method.learned) >= 5 * WORLD.horizon
    assert run.num_trials == len(method.learned) > 25  # failures are cheap


def test_survivors_cost_a_horizon_each() -> None:
    assert run_of(Point(0, -6.0), 5.0)[0].num_trials == 5


def test_four_trials_run_at_a_time() -> None:
    run = run_of(Point(0, -6.0), 8.0)[0]
    assert run.now == pytest.approx(2 * 1.1 * WORLD.horizon)


def test_the_same_cell_gives_the_same_numbers() -> None:
    cell = Cell("stabsearch", "smooth", 100, 3.0)
    first, again = measure(cell), measure(cell)
    timed = {"ms_per_suggestion", "cpu_s"}
    assert {k: v for k, v in first.items() if k not in timed} == {
        k: v for k, v in again.items() if k not in timed
    }


def test_a_result_is_strict_json() -> None:
    json.dumps(measure(Cell("grid", "nothing stable", 100, 2.0)), allow_nan=False)


def test_a_truth_at_the_edge_of_the_interval_is_covered_and_one_beyond_is_not() -> None:
    truth_C = WORLD.truth_C
    assert covered_share(WORLD, Estimate(truth_C, truth_C, truth_C)) == 1.0
    assert covered_share(WORLD, Estimate(truth_C, truth_C + 0.01, truth_C + 1)) == 0.0
    assert covered_share(WORLD, Estimate(truth_C, truth_C - 1, truth_C - 0.01)) == 0.0


def test_regret_counts_only_what_is_safely_used() -> None:
    best = int(np.argmax(WORLD.truth_C))
    assert regret_of(WORLD, Point(best, WORLD.truth_C[best] + 0.5)) == pytest.approx(0.0)
    assert regret_of(WORLD, Point(best, WORLD.truth_C[best] - 0.5)) == pytest.approx(0.5)


def test_a_safe_configuration_is_confirmed_by_22_survivors() -> None:
    assert certify(WORLD, Always(Point(0, -6.0)), 100) | {"regret_before": 0, "regret_after": 0} == {
        "failure_before": pytest.approx(0.002),
        "failure_after": pytest.approx(0.002),
        "regret_before": 0,
        "regret_after": 0,
        "rounds": 1,
        "num_trials": 22,
        "cost": 22.0,
    }


def test_a_hopeless_configuration_ends_in_abstention() -> None:
    world = FAMILIES["nothing stable"](100)
    certificate = certify(world, Always(Point(0, -2.0)), 100)
    assert certificate["rounds"] == 5
    assert np.isnan(certificate["failure_after"])


def test_an_estimator_without_a_model_steps_down_by_halves() -> None:
    estimator = Always(Point(0, float(WORLD.truth_C[0]) + 0.25))
    certificate = certify(WORLD, estimator, 100)
    assert certificate["failure_before"] > WORLD.risk > certificate["failure_after"]


def test_certification_leaves_the_search_as_it_was() -> None:
    estimator = BracketEstimator(WORLD)
    estimator.learn(Point(0, -3.0), Trial(False, False, 400))
    certify(WORLD, estimator, 100)
    assert estimator.recommend() == Point(0, -3.0)


def result(errors: list[float]) -> dict[str, object]:
    cell = measure(Cell("grid", "smooth", 100, 1.0))
    numbers = [float(6 * (i + 1)) for i in range(len(errors))]
    empty = dict.fromkeys(cell["checks"], [None] * len(errors))
    return {**cell, "checks": {**empty, "error": errors, "num_trials": numbers, "cost": numbers}}


def test_an_error_is_reached_when_it_stays_for_three_checks() -> None:
    row = table_of([result([0.3, 0.18, 0.3, 0.19, 0.18, 0.17, 0.3])]).iloc[0]
    assert row["steps_to_0.2"] == 24.0
    assert np.isinf(row["steps_to_0.15"])


def test_a_median_that_is_never_reached_has_an_interval_that_says_so() -> None:
    low, high = interval(np.array([10.0, 20.0, np.inf, np.inf]), np.median)
    assert np.isfinite(low)
    assert np.isinf(high)


def test_a_run_goes_on_where_it_stopped_and_repeats_what_another_code_measured(tmp_path: Path) -> None:
    cells = [Cell("stabsearch", "smooth", seed, 2.0) for seed in (100, 101, 102)]
    path = tmp_path / "cells.jsonl"
    append(path, {"key": cells[0].key, "fingerprint": "of other code"})
    assert missing(cells, load(path), accept_stale=False) == cells
    assert missing(cells, load(path), accept_stale=True) == cells[1:]


def test_the_report_names_every_method_that_was_run(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    for name in ("grid", "random", "stabsearch 0.1, per context"):
        append(path, measure(Cell(name, "smooth", 100, 2.0)))
    text = comparison(path)
    assert all(f"| {name} |" in text for name in ("grid", "random", "stabsearch 0.1, per context"))
    assert set(METHODS) >= {"grid", "random", "stabsearch 0.1, per context"}
