"""What the measured frontier would come to over the full run: an assumption, never a measurement.

Shape letters: C contexts, N draws. Decades.
"""

from __future__ import annotations

import math

import numpy as np

from stabsearch.frontier.answer import Extrapolated
from stabsearch.frontier.curve import Floats
from stabsearch.frontier.frontier import Frontier, rounded_down

_EXPONENT = (0.3, 1.0)
"""Power of the exposure that the hazard grows with. 1: it stays constant; chosen: 0.3, most failures
come early. Nobody has validated proportional hazards for training runs."""
_SEED = 0


def extrapolated(frontier: Frontier, covered_share: float | None) -> tuple[Extrapolated, ...]:
    """Return the frontier of every context that has one, over the full run.

    Empty when the trials cover all of its exposure, or when the share is not known.

    Args:
        frontier: measured within the horizon.
        covered_share: share of the full run's exposure that a trial covers, above 0.
    """
    if covered_share is None or covered_share >= 1:
        return ()
    theta_NC = np.minimum(frontier.posterior.draws(), frontier.searched.high)
    found = []
    for position, row in enumerate(frontier.rows):
        if math.isfinite(row.lr_safe):
            slope_N = _slopes(frontier, position, len(theta_NC))
            lowered_N = full_run_thresholds(theta_NC[:, position], slope_N, covered_share)
            median, low, high = _interval(lowered_N, frontier.confidence)
            lowest = _rate(low) if low > -math.inf else None
            found.append(Extrapolated(row.context, _rate(median), lowest, _rate(high)))
    return tuple(found)


def full_run_thresholds(theta_N: Floats, slope_N: Floats, covered_share: float) -> Floats:
    """Return draws of the threshold over the full run, from draws of the measured one and the slope: [N].

    ``theta - k ln(1 / covered_share) / slope``: the hazard is a power ``k`` of the exposure, and
    ``exp(slope)`` times as high per decade of learning rate; ``k`` is uniform on 0.3 to 1.

    >>> full_run_thresholds(np.array([-3.0]), np.array([8.0]), 1.0)
    array([-3.])
    """
    exponent_N = np.random.default_rng(_SEED).permutation(np.linspace(*_EXPONENT, len(theta_N)))
    lowered_N: Floats = theta_N - exponent_N * math.log(1 / covered_share) / slope_N
    return lowered_N


def _slopes(frontier: Frontier, position: int, count: int) -> Floats:
    """Return draws of a context's slope, nats per decade, taken as independent of its threshold: [N]."""
    levels = (np.arange(64) + 0.5) / 64
    slopes = np.array([frontier.posterior.slope(position, float(level)) for level in levels])
    return np.random.default_rng(_SEED + 1).permutation(np.resize(slopes, count))


def _interval(theta_N: Floats, confidence: float) -> tuple[float, float, float]:
    """Return median, low and high; draws of -inf (a dead context) take part."""
    tail = (1 - confidence) / 2
    median, low, high = np.quantile(theta_N, [0.5, tail, 1 - tail], method="lower")
    return float(median), float(low), float(high)


def _rate(x: float) -> float:
    return rounded_down(10.0**x)
