"""What the trials say of each context's threshold: exact posteriors on a grid.

Shape letters: C contexts, T thresholds, S slopes, X intensities. Everything in decades.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from stabsearch.frontier.curve import FailureCurve, Floats, slope_prior

PADDING = 0.8  # decades; chosen: how far beyond the range a threshold may lie, each side
STEP = 0.05  # decades; chosen: finer than what tens of trials resolve


@dataclass(frozen=True)
class Tally:
    """What happened at one intensity of one context."""

    x: float
    """Intensity, decades."""
    survived: int
    failed: int


Evidence = tuple[Tally, ...]


def tallied(outcomes: Iterable[tuple[float, bool]]) -> Evidence:
    """Return one tally per distinct intensity, ascending, from (intensity, failed) pairs.

    >>> tallied([(-3.0, True), (-4.0, False), (-3.0, False)])
    (Tally(x=-4.0, survived=1, failed=0), Tally(x=-3.0, survived=1, failed=1))
    """
    counts: dict[float, list[int]] = {}
    for x, failed in outcomes:
        counts.setdefault(x, [0, 0])[int(failed)] += 1
    return tuple(Tally(x, *counts[x]) for x in sorted(counts))


@dataclass(frozen=True)
class Span:
    """The intensities searched, low and high included, decades."""

    low: float
    high: float

    def widened(self, evidence: Iterable[Evidence]) -> Span:
        """Return the span that also holds every trial."""
        xs = [tally.x for tallies in evidence for tally in tallies]
        return Span(min([self.low, *xs]), max([self.high, *xs]))

    def thresholds(self) -> Floats:
        """Return the threshold grid, ``PADDING`` beyond both ends, step at most ``STEP``."""
        return _even(self.low - PADDING, self.high + PADDING)

    def candidates(self) -> Floats:
        """Return the intensities worth proposing, both ends included; one if the span is a point."""
        return _even(self.low, self.high)


def _even(low: float, high: float) -> Floats:
    cells = int(np.ceil((high - low) / STEP - 1e-9))
    return np.linspace(low, high, cells + 1) if cells else np.array([low])


@lru_cache(maxsize=16)
def failure_table(curve: FailureCurve, searched: Span, thresholds: Span) -> Floats:
    """Return P(fail) of every candidate of ``searched`` on a threshold grid: [X, T, S], read-only."""
    table_XTS = curve.failure_probability(searched.candidates(), thresholds.thresholds())
    table_XTS.flags.writeable = False
    return table_XTS


@dataclass(frozen=True, eq=False)
class Posterior:
    """Joint weights of threshold and slope, per context."""

    curve: FailureCurve
    span: Span
    """What the threshold grid was made for."""
    theta_T: Floats
    weight_CTS: Floats
    """Sums to 1 in each context."""

    def quantile(self, probability: float) -> Floats:
        """Return the threshold's quantile in each context: shape [C], decades.

        A grid point stands for the cell around it, with even density inside, so that quantiles
        move smoothly instead of jumping from point to point.
        """
        step = self.theta_T[1] - self.theta_T[0]
        edges = np.append(self.theta_T - step / 2, self.theta_T[-1] + step / 2)
        cdf_CT = np.cumsum(self.weight_CTS.sum(2), axis=1)
        return np.array([np.interp(probability, np.append(0.0, cdf_T), edges) for cdf_T in cdf_CT])

    def safe_probability(self, x: float) -> Floats:
        """Return the probability that the threshold lies at or above ``x``: shape [C]."""
        safe_C: Floats = self.weight_CTS[:, self.theta_T >= x].sum((1, 2))
        return safe_C

    def failure_probability(self, context: int, x: float) -> float:
        """Return the posterior mean of P(fail) at one intensity of one context."""
        return float((self.weight_CTS[context] * self._failure(x)).sum())

    def failure_interval(self, context: int, x: float, confidence: float) -> tuple[float, float]:
        """Return the central credible interval of P(fail) at one intensity of one context."""
        probability, weight = self._failure(x).ravel(), self.weight_CTS[context].ravel()
        order = np.argsort(probability)
        cdf = np.cumsum(weight[order])
        tail = (1 - confidence) / 2
        low, high = np.searchsorted(cdf, [tail, min(1 - tail, cdf[-1])])
        return float(probability[order[low]]), float(probability[order[high]])

    def after(self, context: int, x: float, *, failed: bool) -> Posterior:
        """Return the posterior with one more trial in one context."""
        failure_TS = self._failure(x)
        weight_TS = self.weight_CTS[context] * (failure_TS if failed else 1 - failure_TS)
        weight_CTS = self.weight_CTS.copy()
        weight_CTS[context] = weight_TS / weight_TS.sum()
        return replace(self, weight_CTS=weight_CTS)

    def _failure(self, x: float) -> Floats:
        failure_TS: Floats = self.curve.failure_probability(np.array([x]), self.theta_T)[0]
        return failure_TS


def independent_posterior(curve: FailureCurve, searched: Span, evidence: Sequence[Evidence]) -> Posterior:
    """Return each context's posterior from its own trials alone.

    The prior is flat over the threshold grid and log-normal over slopes: with no trials the median
    is the middle of the range, and about one in seven thresholds lies beyond either end of four
    decades. Trials outside the searched span widen the grid.
    """
    span = searched.widened(evidence)
    theta_T = span.thresholds()
    prior_TS = np.broadcast_to(np.log(slope_prior()), (len(theta_T), len(slope_prior())))
    weight_CTS = np.empty((len(evidence), *prior_TS.shape))
    for context, tallies in enumerate(evidence):
        log_TS = prior_TS + _log_likelihood(curve, theta_T, tallies)
        weight_TS = np.exp(log_TS - log_TS.max())
        weight_CTS[context] = weight_TS / weight_TS.sum()
    return Posterior(curve, span, theta_T, weight_CTS)


def _log_likelihood(curve: FailureCurve, theta_T: Floats, tallies: Evidence) -> Floats:
    """Return the log-likelihood of one context's trials: [T, S]."""
    failure_XTS = curve.failure_probability(np.array([tally.x for tally in tallies]), theta_T)
    failed_X = np.array([tally.failed for tally in tallies], dtype=float)
    survived_X = np.array([tally.survived for tally in tallies], dtype=float)
    hit = failed_X > 0
    log_TS: Floats = np.tensordot(failed_X[hit], np.log(failure_XTS[hit]), 1)
    clean = survived_X > 0
    return log_TS + np.tensordot(survived_X[clean], np.log1p(-failure_XTS[clean]), 1)
