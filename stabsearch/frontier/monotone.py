"""Do the trials contradict a failure probability that grows with the intensity?

An island of failures below the boundary cannot be seen by any monotone model, and is found only by
chance; when trials show one, it is said.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.stats import binom, hypergeom

from stabsearch.frontier.evidence import Evidence

_BIN = 0.2  # decades; chosen: an island narrower than this has no room for two trials
_SURPRISE = 0.005  # chosen: 1 in 100 sweeps of eight monotone contexts is flagged wrongly, measured
_FAR_BELOW = 0.3  # decades; chosen: well outside what the curve's slope can explain
_MANY = 2  # chosen: one failure may be a lapse
_MAX_BINS = 40  # chosen: pairs of stretches grow with their third power


def is_contradicted(evidence: Evidence, lower_bound: float, lapse: float) -> bool:
    """Return whether failures stand where a monotone curve cannot have them.

    Either more failures than lapses explain lie at least 0.3 decades below the threshold's lower
    credible bound, or some stretch of intensities fails significantly more often than the stretch
    just above it (Fisher's exact test, one-sided, the smallest p-value over all neighbouring pairs).

    Args:
        evidence: the trials of one context.
        lower_bound: the threshold's lower credible bound, decades; -inf in a dead context.
        lapse: probability of failing however low the intensity is.
    """
    far = [tally for tally in evidence if tally.x <= lower_bound - _FAR_BELOW]
    failed, trials = sum(tally.failed for tally in far), sum(tally.num_trials for tally in far)
    unexplained = failed >= _MANY and binom.sf(failed - 1, trials, lapse) < _SURPRISE
    return bool(unexplained) or smallest_p_value(evidence) < _SURPRISE


@lru_cache(maxsize=1024)
def smallest_p_value(evidence: Evidence) -> float:
    """Return how surprising the worst pair of neighbouring stretches is under monotone failures.

    Kept for evidence seen before: of many contexts, one trial changes one.
    """
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
    groups = np.array_split(rows, min(len(rows), _MAX_BINS)) if len(rows) else []
    merged = np.array([group.sum(0) for group in groups], dtype=int).reshape(-1, 2)
    return merged[:, 0], merged[:, 1]


def _stretches(num_bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return start, middle and end of every pair of neighbouring stretches of bins."""
    start, middle, end = np.meshgrid(*[np.arange(num_bins + 1)] * 3, indexing="ij")
    valid = (start < middle) & (middle < end)
    return start[valid], middle[valid], end[valid]
