"""How good a picture of the frontier is. Shape letters: C contexts, N points, B bins."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.frontier_benchmark.methods.base import Estimate, Estimator, Point
from experiments.frontier_benchmark.world import Floats, World

COVERAGE_TOLERANCE = 0.0026  # decades: one step of the grid that the truth is computed on
BINS = 10  # chosen: the usual number for an expected calibration error (Guo et al. 2017)
_GRID_STEP = 0.1  # decades; chosen: half of the points lie within a decade of a boundary
_NEAR = 0.5  # decades; chosen: where a prediction is not obvious


class Score(NamedTuple):
    """One check of a running search."""

    num_trials: int
    cost: float
    """Training charged, horizons."""
    error: float
    """Mean absolute error of the frontier, decades."""
    covered: float
    """Share of contexts whose 90 % interval holds the truth; NaN without intervals."""
    width: float
    """Mean width of the intervals, decades; NaN without intervals."""
    recommended_failure: float
    """True failure probability of the recommended configuration; NaN when it abstains."""
    regret: float
    """How far the recommendation lies below the best context's frontier, decades; NaN likewise."""
    expected_error: float
    """Mean error that the method expects of itself, decades; NaN when it does not say."""
    flagged: float
    """Share of contexts where the method says that its assumptions do not hold; NaN likewise."""


def score(world: World, estimator: Estimator, num_trials: int, cost: float) -> Score:
    """Return how the estimator does now."""
    estimate, point = estimator.estimate(), estimator.recommend()
    return Score(
        num_trials=num_trials,
        cost=cost,
        error=float(np.abs(estimate.point_C - world.truth_C).mean()),
        covered=covered_share(world, estimate),
        width=float((estimate.high_C - estimate.low_C).mean()),
        recommended_failure=failure_at(world, point),
        regret=regret_of(world, point),
        expected_error=_mean(estimate.expected_error_C),
        flagged=_mean(estimate.flagged_C),
    )


def _mean(values_C: NDArray[Any] | None) -> float:
    return np.nan if values_C is None else float(values_C.mean())


def covered_share(world: World, estimate: Estimate) -> float:
    """Return the share of contexts whose interval holds the truth, NaN when there are no intervals."""
    if np.isnan(estimate.low_C).any():
        return np.nan
    above_low = world.truth_C >= estimate.low_C - COVERAGE_TOLERANCE
    below_high = world.truth_C <= estimate.high_C + COVERAGE_TOLERANCE
    return float((above_low & below_high).mean())


def failure_at(world: World, point: Point | None) -> float:
    """Return the true failure probability of a configuration, NaN for none."""
    return np.nan if point is None else float(world.failure_probability(point.context, np.array(point.x)))


def regret_of(world: World, point: Point | None) -> float:
    """Return the decades between the best frontier and what is safely used of it, NaN for none."""
    if point is None:
        return np.nan
    return float(world.truth_C.max() - min(point.x, world.truth_C[point.context]))


def calibration(world: World, estimator: Estimator) -> dict[str, Any] | None:
    """Return predicted against true failure probability on an even grid; None without predictions.

    ``everywhere`` counts every learning rate of the range, ``near`` those within half a decade of
    the true frontier, where nothing is obvious. Both hold counts and sums per bin of the prediction,
    and the expected Brier score with the part of it that no prediction can avoid.
    """
    x_N = np.arange(world.low, world.high + 1e-9, _GRID_STEP)
    pairs = []
    for context, truth in enumerate(world.truth_C):
        predicted_N = estimator.predict(context, x_N)
        if predicted_N is None:
            return None
        pairs.append((predicted_N, world.failure_probability(context, x_N), np.abs(x_N - truth) <= _NEAR))
    predicted_N, true_N, near_N = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    return {"everywhere": _binned(predicted_N, true_N), "near": _binned(predicted_N[near_N], true_N[near_N])}


def _binned(predicted_N: Floats, true_N: Floats) -> dict[str, Any]:
    bin_N = np.minimum((predicted_N * BINS).astype(int), BINS - 1)
    brier_N = true_N * (1 - predicted_N) ** 2 + (1 - true_N) * predicted_N**2
    return {
        "count_B": np.bincount(bin_N, minlength=BINS).tolist(),
        "predicted_B": np.bincount(bin_N, predicted_N, BINS).round(5).tolist(),
        "true_B": np.bincount(bin_N, true_N, BINS).round(5).tolist(),
        "brier": float(brier_N.mean()),
        "unavoidable_brier": float((true_N * (1 - true_N)).mean()),
    }
