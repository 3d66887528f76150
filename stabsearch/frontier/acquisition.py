"""Where the next trial teaches most about the thresholds.

Shape letters: C contexts, T thresholds, S slopes, X candidate intensities. Decades.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stabsearch.frontier.curve import Floats
from stabsearch.frontier.posterior import Evidence, Posterior, Span, failure_table

_RESOLVED_SD = 0.1  # decades; chosen: the accuracy at which a context has had its share of trials
_BEYOND = 0.2  # decades; chosen: how far outside the range a threshold's exact place still matters
_PROBE_QUANTILE = 0.1  # chosen: low enough that a failure there contradicts the model
_SAFE_SIDE_QUANTILE = 0.25  # chosen: a bit above the probes, so that jitter and updates keep them in
_JITTER = 0.02  # decades each way; chosen: the boundary at one exact rate may be a filament


@dataclass(frozen=True)
class Pending:
    """A trial that is running now."""

    context: int
    x: float
    """Intensity, decades."""


@dataclass(frozen=True)
class Proposal:
    """Where to try next."""

    context: int
    x: float
    """Intensity, decades, inside the span."""


def next_trial(
    posterior: Posterior, searched: Span, pending: Iterable[Pending], rng: np.random.Generator
) -> Proposal:
    """Return the trial expected to shrink the thresholds' variance most, once pending ones are in.

    Each pending trial is given one outcome drawn from its predictive distribution, so that
    concurrent proposals differ without any tuning.
    """
    gain_CX = variance_reduction(_with_fantasies(posterior, pending, rng), searched)
    gain_CX = gain_CX * (1 + 1e-6 * rng.random(gain_CX.shape))  # equal contexts: either may be first
    context, candidate = np.unravel_index(int(np.argmax(gain_CX)), gain_CX.shape)
    return Proposal(int(context), _jittered(searched.candidates()[candidate], searched, rng))


def safety_probe(
    posterior: Posterior, searched: Span, probes_C: Floats, rng: np.random.Generator
) -> Proposal | None:
    """Return a trial where the model expects survival, in the context that was probed least.

    The information criterion never goes back to the safe side, hence never notices that the model
    is wrong there. None when no context has a safe side inside the range yet.

    Args:
        posterior: what is known.
        searched: the range proposals stay in.
        probes_C: trials so far on the safe side of each context's threshold.
        rng: decides between equals.
    """
    x_C = posterior.quantile(_PROBE_QUANTILE)
    urgency_C = _unresolved(posterior, searched) / (1 + probes_C) * (1 + 1e-6 * rng.random(len(probes_C)))
    context = int(np.argmax(np.where(x_C > searched.low, urgency_C, 0.0)))
    if x_C[context] <= searched.low:
        return None
    return Proposal(context, _jittered(x_C[context], searched, rng))


def safe_side_trials(posterior: Posterior, evidence: Sequence[Evidence]) -> Floats:
    """Return how many trials each context has where survival was expected: [C]."""
    edge_C = posterior.quantile(_SAFE_SIDE_QUANTILE)
    counts = [
        sum(tally.survived + tally.failed for tally in tallies if tally.x <= edge)
        for tallies, edge in zip(evidence, edge_C, strict=True)
    ]
    return np.array(counts, dtype=float)


def variance_reduction(posterior: Posterior, searched: Span) -> Floats:
    """Return how much one trial is expected to reduce the variance of its threshold: [C, X].

    Squared decades, weighted down where a context is resolved already.
    """
    now_C, after_CX = expected_variance(posterior, searched)
    gain_CX: Floats = np.maximum(now_C[:, None] - after_CX, 0.0)
    return gain_CX * _unresolved(posterior, searched)[:, None]


def expected_variance(posterior: Posterior, searched: Span) -> tuple[Floats, Floats]:
    """Return the thresholds' variances now, [C], and expected after one trial, [C, X].

    Exact over both outcomes; squared decades. Thresholds are held to the range plus a margin.
    """
    failure_XTS = failure_table(posterior.curve, searched, posterior.span)
    theta_T = np.clip(posterior.theta_T, searched.low - _BEYOND, searched.high + _BEYOND)
    power_DT = theta_T ** np.arange(3)[:, None]
    moment_DC = power_DT @ posterior.weight_CTS.sum(2).T
    moment_CDTS = posterior.weight_CTS[:, None] * power_DT[:, :, None]
    failed_CDX = moment_CDTS.reshape(*moment_CDTS.shape[:2], -1) @ failure_XTS.reshape(len(failure_XTS), -1).T
    survived_CDX = moment_DC.T[:, :, None] - failed_CDX
    after_CX = _weighted_variance(failed_CDX) + _weighted_variance(survived_CDX)
    return moment_DC[2] - moment_DC[1] ** 2, after_CX


def _weighted_variance(moment_CDX: Floats) -> Floats:
    """Return probability times variance from the moments 0, 1, 2 of one outcome: [C, X]."""
    probability_CX = np.maximum(moment_CDX[:, 0], 1e-12)
    variance_CX: Floats = moment_CDX[:, 2] - moment_CDX[:, 1] ** 2 / probability_CX
    return variance_CX


def _unresolved(posterior: Posterior, searched: Span) -> Floats:
    """Return the weight of each context, 1 down to 0.05 as its threshold becomes known: [C]."""
    theta_T = np.clip(posterior.theta_T, searched.low - _BEYOND, searched.high + _BEYOND)
    weight_CT = posterior.weight_CTS.sum(2)
    sd_C = np.sqrt(np.maximum(weight_CT @ theta_T**2 - (weight_CT @ theta_T) ** 2, 0.0))
    weight_C: Floats = np.clip(sd_C / _RESOLVED_SD - 0.3, 0.05, 1.0)
    return weight_C


def _with_fantasies(posterior: Posterior, pending: Iterable[Pending], rng: np.random.Generator) -> Posterior:
    for trial in pending:
        failed = rng.random() < posterior.failure_probability(trial.context, trial.x)
        posterior = posterior.after(trial.context, trial.x, failed=failed)
    return posterior


def _jittered(x: float, searched: Span, rng: np.random.Generator) -> float:
    return float(np.clip(x + rng.uniform(-_JITTER, _JITTER), searched.low, searched.high))
