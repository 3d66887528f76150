"""Do the trials contradict a failure probability that grows with the intensity?

An island of failures below the boundary cannot be seen by any monotone model, and is found only by
chance; when trials show one, it is said.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import hypergeom

from stabsearch.frontier.evidence import Evidence

_BIN = 0.2  # decades; chosen: an island narrower than this has no room for two trials
_SURPRISE = 0.005  # chosen: 1 in 100 sweeps of eight monotone contexts is flagged wrongly, measured
_FAR_BELOW = 0.3  # decades; chosen: well outside what the curve's slope can explain
_MANY = 2  # chosen: one failure may be a lapse


def is_contradicted(evidence: Evidence, lower_bound: float) -> bool:
    """Return whether failures stand where a monotone curve cannot have them.

    Either two failures lie at least 0.3 decades below the threshold's lower credible bound, or some
    stretch of intensities fails significantly more often than the stretch just above it (Fisher's
    exact test, one-sided, the smallest p-value over all pairs of neighbouring stretches).

    Args:
        evidence: the trials of one context.
        lower_bound: the threshold's lower credible bound, decades; -inf in a dead context.
    """
    far_below = sum(tally.failed for tally in evidence if tally.x <= lower_bound - _FAR_BELOW)
    return far_below >= _MANY or smallest_p_value(evidence) < _SURPRISE


def smallest_p_value(evidence: Evidence) -> float:
    """Return how surprising the worst pair of neighbouring stretches is under monotone failures."""
    failed_B, trials_B = _binned(evidence)
    starts, middles, ends = _stretches(len(failed_B))
    if not len(starts):
        return 1.0
    failures, trials = np.append(0, np.cumsum(failed_B)), np.append(0, np.cumsum(trials_B))
    below = failures[middles] - failures[starts]
    num_below = trials[middles] - trials[starts]
    total, num_total = failures[ends] - failures[starts], trials[ends] - trials[starts]
    p_values = hypergeom.sf(below - 1, num_total, total, num_below)
    return float(np.min(p_values))


def _binned(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Return failures and trials of each occupied bin, by ascending intensity."""
    bins: dict[int, list[int]] = {}
    for tally in evidence:
        counts = bins.setdefault(int(np.floor(tally.x / _BIN)), [0, 0])
        counts[0] += tally.failed
        counts[1] += tally.num_trials
    rows = np.array([bins[key] for key in sorted(bins)], dtype=int).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def _stretches(num_bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return start, middle and end of every pair of neighbouring stretches of bins."""
    start, middle, end = np.meshgrid(*[np.arange(num_bins + 1)] * 3, indexing="ij")
    valid = (start < middle) & (middle < end)
    return start[valid], middle[valid], end[valid]
