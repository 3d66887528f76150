"""The shared posterior of all thresholds: exact in each context, Gaussian between contexts.

Expectation propagation (Minka 2001): what a context's own trials say of its threshold is replaced
by a Gaussian site when others learn from it, and used exactly, on a grid, for itself. The shape
of the curve is hierarchical: each context's slope scatters around one that all share.

Shape letters: C contexts, T thresholds, J shapes, H shared shapes, Q failure rates of dead contexts.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from stabsearch.frontier.curve import BAND_J, BANDS_B, SLOPE_J, FailureCurve, Floats
from stabsearch.frontier.evidence import Evidence, Result
from stabsearch.frontier.likelihood import Grid, log_likelihood
from stabsearch.frontier.prior import Prior

_SLOPE_MEDIAN = 9.0  # chosen: shallow on purpose; a steeper prior is faster and unsafe on shallow curves
_SLOPE_LOG_SD = 0.7  # chosen: between models
_SLOPE_LOG_SD_WITHIN = 0.5  # chosen: between contexts of one model
_SAME_BAND = 0.7  # chosen: share of contexts whose degraded band is the shared one
_DEAD_GROUP = 0.03  # chosen: prior probability that a group fails at any intensity
_DEAD_IN_DEAD_GROUP = 0.95  # chosen
_DEAD_IN_LIVING_GROUP = 0.01  # chosen
DEAD_RATE_Q: Floats = np.array([0.55, 0.65, 0.75, 0.85, 0.93, 0.99])
"""Failure probabilities that a dead context may have; chosen: the risk is far below all of them."""
_MAX_ITERATIONS = 80
_TOLERANCE = 1e-4  # decades, and probability; chosen: far below what is reported
_DAMPING = 0.7  # share of a new value taken per iteration; chosen
_UNDAMPED = 8  # iterations; chosen: later ones take ever less, so that a message that swings settles
_SMALLEST_VARIANCE = 2e-4  # squared decades; chosen: a third of a grid step


@dataclass(frozen=True, eq=False)
class Inferred:
    """What trials say of all contexts together."""

    weight_CTJ: Floats
    """Weight of threshold and shape in each context if it is not dead; sums to 1 per context."""
    dead_C: Floats
    """Probability that a context fails at any intensity."""
    dead_rate_CQ: Floats
    """Weight of each failure rate if it does; sums to 1 per context."""
    covariance_CC: Floats
    """Of the Gaussian that approximates all thresholds together, squared decades."""


@dataclass(frozen=True, eq=False)
class Data:
    """The likelihoods of every context."""

    log_CTJ: Floats
    log_dead_CQ: Floats

    def plus(self, other: Data) -> Data:
        """Return the likelihoods of both."""
        return Data(self.log_CTJ + other.log_CTJ, self.log_dead_CQ + other.log_dead_CQ)


def data_of(curve: FailureCurve, grid: Grid, evidence: Sequence[Evidence]) -> Data:
    """Return the likelihoods of the evidence of each context."""
    log_CTJ = np.empty((len(evidence), grid.size, len(SLOPE_J)))
    log_dead_CQ = np.empty((len(evidence), len(DEAD_RATE_Q)))
    for context, tallies in enumerate(evidence):
        log_CTJ[context] = log_likelihood(curve, grid, tallies)
        log_dead_CQ[context] = _dead_log_likelihood(tallies)
    return Data(log_CTJ, log_dead_CQ)


@lru_cache(maxsize=1024)
def _dead_log_likelihood(evidence: Evidence) -> Floats:
    """Return the log-likelihood of a context's trials if intensity does not matter: [Q], read-only.

    Grades then say nothing: a survivor is as likely clean as degraded.
    """
    failed = sum(tally.failed for tally in evidence)
    survived = sum(tally.survived for tally in evidence)
    graded = sum(tally.counts[Result.CLEAN] + tally.counts[Result.DEGRADED] for tally in evidence)
    log_Q: Floats = failed * np.log(DEAD_RATE_Q) + survived * np.log1p(-DEAD_RATE_Q) + graded * np.log(0.5)
    for exposure in (exposure for tally in evidence for exposure in tally.alive):
        log_Q = log_Q + np.log1p(-DEAD_RATE_Q * exposure)
    log_Q.flags.writeable = False
    return log_Q


@cache
def _shape_prior() -> tuple[Floats, Floats]:
    """Return log p(shared shape), [H], and p(shape | shared shape), [H, J].

    Shared shapes are the same grid as shapes: a slope and a band.
    """
    shared_H = -0.5 * (np.log(SLOPE_J / _SLOPE_MEDIAN) / _SLOPE_LOG_SD) ** 2
    slope_HJ = np.exp(-0.5 * (np.log(SLOPE_J[:, None] / SLOPE_J[None, :]) / _SLOPE_LOG_SD_WITHIN) ** 2)
    is_same_HJ = BAND_J[:, None] == BAND_J[None, :]
    band_HJ = np.where(is_same_HJ, _SAME_BAND, (1 - _SAME_BAND) / (len(BANDS_B) - 1))
    shape_HJ = slope_HJ * band_HJ
    return shared_H, shape_HJ / shape_HJ.sum(1, keepdims=True)


def infer(grid: Grid, prior: Prior, data: Data) -> Inferred:
    """Return the posterior of all contexts."""
    return _Propagation(grid, prior, data).run()


class _Propagation:
    """Expectation propagation over the contexts; one Gaussian site each."""

    def __init__(self, grid: Grid, prior: Prior, data: Data) -> None:
        self.theta_T, self.prior = grid.thresholds(), prior
        self.num_contexts = len(prior.mean_C)
        self.has_trials_C = np.any(data.log_CTJ != 0, axis=(1, 2))
        self.peak_C = data.log_CTJ.max((1, 2))
        self.likelihood_CTJ = np.exp(data.log_CTJ - self.peak_C[:, None, None])
        peak_dead_C = data.log_dead_CQ.max(1, keepdims=True)
        dead_CQ = np.exp(data.log_dead_CQ - peak_dead_C)
        self.dead_rate_CQ = dead_CQ / dead_CQ.sum(1, keepdims=True)
        self.log_dead_C = peak_dead_C[:, 0] + np.log(dead_CQ.mean(1))
        self.groups = _members(prior.group_C)
        self.precision_C = np.zeros(self.num_contexts)
        self.shift_C = np.zeros(self.num_contexts)
        shared_H, shape_HJ = _shape_prior()
        weight_H = np.exp(shared_H)
        self.shape_CJ = np.tile(weight_H / weight_H.sum() @ shape_HJ, (self.num_contexts, 1))
        self.prior_dead_C = np.full(self.num_contexts, _DEAD_GROUP)
        self.share = _DAMPING

    def run(self) -> Inferred:
        """Iterate until the thresholds' means, and who is dead, stand still."""
        before = np.full(2 * self.num_contexts, np.inf)
        for iteration in range(1, _MAX_ITERATIONS + 1):
            self.share = _DAMPING * min(1.0, _UNDAMPED / iteration)
            after = np.concatenate([self._step(), self.dead_C])
            if np.max(np.abs(after - before), initial=0.0) < _TOLERANCE * self.share:
                break
            before = after
        weight_CTJ = self.cavity_CT[:, :, None] * self.likelihood_CTJ * self.shape_CJ[:, None, :]
        weight_CTJ /= weight_CTJ.sum((1, 2), keepdims=True)
        return Inferred(weight_CTJ, self.dead_C, self.dead_rate_CQ, self._covariance())

    def _step(self) -> Floats:
        """Update every site from its cavity; return the means of the exact marginals: [C]."""
        covariance_CC = self._covariance()
        mean_C = self.prior.mean_C + covariance_CC @ (self.shift_C - self.precision_C * self.prior.mean_C)
        variance_C = np.maximum(np.diag(covariance_CC), _SMALLEST_VARIANCE)
        cavity_variance_C = 1 / np.maximum(1 / variance_C - self.precision_C, 1e-4)
        cavity_mean_C = cavity_variance_C * (mean_C / variance_C - self.shift_C)
        self.cavity_CT = _gaussian(self.theta_T, cavity_mean_C, cavity_variance_C)
        evidence_CJ = (self.cavity_CT[:, None, :] @ self.likelihood_CTJ)[:, 0]
        self._share_shapes(evidence_CJ)
        self._share_death((evidence_CJ * self.shape_CJ).sum(1))
        exact_CT = self.cavity_CT * (self.likelihood_CTJ @ self.shape_CJ[:, :, None])[:, :, 0]
        exact_CT /= exact_CT.sum(1, keepdims=True)
        tilted_mean_C, tilted_variance_C = self._mixed(exact_CT, cavity_mean_C, cavity_variance_C)
        precision_C = np.clip(1 / tilted_variance_C - 1 / cavity_variance_C, 0.0, 1e4)
        shift_C = tilted_mean_C * (precision_C + 1 / cavity_variance_C) - cavity_mean_C / cavity_variance_C
        precision_C = np.where(self.has_trials_C, precision_C, 0.0)  # the grid's ends are no evidence
        shift_C = np.where(precision_C > 0, shift_C, 0.0)
        self.precision_C += self.share * (precision_C - self.precision_C)
        self.shift_C += self.share * (shift_C - self.shift_C)
        exact_mean_C: Floats = exact_CT @ self.theta_T
        return exact_mean_C

    def _covariance(self) -> Floats:
        """Return ``(K^-1 + diag(precision))^-1``: [C, C]."""
        prior_CC = self.prior.covariance_CC
        system_CC = np.eye(self.num_contexts) + prior_CC * self.precision_C[None, :]
        covariance_CC = np.linalg.solve(system_CC, prior_CC)
        symmetric_CC: Floats = 0.5 * (covariance_CC + covariance_CC.T)
        return symmetric_CC

    def _mixed(self, exact_CT: Floats, mean_C: Floats, variance_C: Floats) -> tuple[Floats, Floats]:
        """Return mean and variance of each threshold; a dead context's own trials say nothing of it."""
        alive_C = 1 - self.dead_C
        alive_mean_C = exact_CT @ self.theta_T
        alive_square_C = exact_CT @ self.theta_T**2
        mixed_mean_C = alive_C * alive_mean_C + self.dead_C * mean_C
        mixed_square_C = alive_C * alive_square_C + self.dead_C * (mean_C**2 + variance_C)
        return mixed_mean_C, np.maximum(mixed_square_C - mixed_mean_C**2, _SMALLEST_VARIANCE)

    def _share_shapes(self, evidence_CJ: Floats) -> None:
        """Set each context's prior over shapes from what the other contexts show of the shared one.

        A context that may be dead shows less of its shape.
        """
        shared_H, shape_HJ = _shape_prior()
        alive_CH = (1 - self.prior_dead_C)[:, None] * (evidence_CJ @ shape_HJ.T)
        dead_C = self.prior_dead_C * np.exp(np.minimum(self.log_dead_C - self.peak_C, 300.0))
        log_CH = np.log(np.maximum(alive_CH + dead_C[:, None], 1e-300))
        others_CH = shared_H + log_CH.sum(0) - log_CH
        weight_CH = np.exp(others_CH - others_CH.max(1, keepdims=True))
        shape_CJ = (weight_CH / weight_CH.sum(1, keepdims=True)) @ shape_HJ
        self.shape_CJ += self.share * (shape_CJ - self.shape_CJ)

    def _share_death(self, evidence_C: Floats) -> None:
        """Set each context's probability of being dead, from its own trials and those of its group."""
        log_alive_C = self.peak_C + np.log(np.maximum(evidence_C, 1e-300))
        ratio_C = np.exp(np.clip(self.log_dead_C - log_alive_C, -300.0, 300.0))
        in_dead_C = np.log(_DEAD_IN_DEAD_GROUP * ratio_C + (1 - _DEAD_IN_DEAD_GROUP))
        in_living_C = np.log(_DEAD_IN_LIVING_GROUP * ratio_C + (1 - _DEAD_IN_LIVING_GROUP))
        prior_dead_C = np.empty(self.num_contexts)
        for members in self.groups:
            log_odds = np.log(_DEAD_GROUP / (1 - _DEAD_GROUP)) + (in_dead_C - in_living_C)[members].sum()
            others = log_odds - (in_dead_C - in_living_C)[members]
            group_dead = 1 / (1 + np.exp(-np.clip(others, -300.0, 300.0)))
            prior_dead_C[members] = (
                group_dead * _DEAD_IN_DEAD_GROUP + (1 - group_dead) * _DEAD_IN_LIVING_GROUP
            )
        self.prior_dead_C += self.share * (prior_dead_C - self.prior_dead_C)
        odds_C = self.prior_dead_C / (1 - self.prior_dead_C) * ratio_C
        self.dead_C = odds_C / (1 + odds_C)


def _members(group_C: Sequence[Hashable]) -> list[list[int]]:
    """Return the positions of each group's contexts."""
    members: dict[Hashable, list[int]] = {}
    for position, group in enumerate(group_C):
        members.setdefault(group, []).append(position)
    return list(members.values())


def _gaussian(theta_T: Floats, mean_C: Floats, variance_C: Floats) -> Floats:
    """Return Gaussians on the grid, each with sum 1: [C, T]."""
    density_CT = np.exp(-0.5 * (theta_T[None] - mean_C[:, None]) ** 2 / variance_C[:, None])
    normal_CT: Floats = density_CT / np.maximum(density_CT.sum(1, keepdims=True), 1e-300)
    return normal_CT
