"""What the trials say of each context's threshold, as numbers with intervals.

Shape letters: C contexts, T and U thresholds, S slopes, J shapes, Q failure rates of dead contexts,
N draws. Decades.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.special import ndtr
from scipy.stats import qmc

from stabsearch.frontier.curve import BANDS_B, SLOPES_S, FailureCurve, Floats
from stabsearch.frontier.evidence import Evidence
from stabsearch.frontier.inference import DEAD_RATE_Q, Inferred, data_of, infer
from stabsearch.frontier.likelihood import STEP, Grid, Span
from stabsearch.frontier.prior import Prior

_ROUGHNESS_MEAN = -0.45  # nats of log-hazard; chosen on simulated rough boundaries
_ROUGHNESS_SD = 0.95  # nats of log-hazard; chosen on simulated rough boundaries
_SMALLEST_ROUGHNESS = 0.06  # decades; chosen: however steep, seeds and versions move a boundary this much
_NEAR_BEST = 0.1  # decades; chosen: learning rates this close train equally fast
_LEAST_CHANCE = 0.03  # chosen: what a context that cannot win is still worth
_DRAWS = 1024  # chosen: a power of two, as Sobol sequences want; the error of a share is below 0.01
_DRAWS_SEED = 0


@dataclass(frozen=True, eq=False)
class Posterior:
    """Thresholds of all contexts together; a dead context's threshold lies below everything."""

    curve: FailureCurve
    grid: Grid
    inferred: Inferred

    @cached_property
    def threshold_weight(self) -> Floats:
        """Return the weight of each threshold if the context is not dead: [C, T], sum 1 per context."""
        weight_CT: Floats = self._rough_weight.sum(2)
        return weight_CT

    @cached_property
    def _smooth_weight(self) -> Floats:
        """Return the weights of threshold and slope: [C, T, S]."""
        weight_CTJ = self.inferred.weight_CTJ
        weight_CTS: Floats = weight_CTJ.reshape(*weight_CTJ.shape[:2], len(SLOPES_S), len(BANDS_B)).sum(3)
        return weight_CTS

    @cached_property
    def _rough_weight(self) -> Floats:
        """Return the weights of threshold and slope, with room for what a smooth curve misses: [C, T, S].

        A model discrepancy in the sense of Kennedy and O'Hagan 2001. Real boundaries are rough
        (fractal, arXiv:2402.06184), and the frontier is where a rough curve first crosses the risk:
        somewhat below where the smooth one does, by a distance that shrinks as the curve steepens.
        """
        roughness_STU = _roughness(self.grid.size)
        rough_CTS: Floats = np.einsum("cts,stu->cus", self._smooth_weight, roughness_STU, optimize=True)
        return rough_CTS

    def quantile(self, probability: float) -> Floats:
        """Return the threshold's quantile in each context: shape [C], decades, -inf if it is dead.

        A grid point stands for the cell around it, with even density inside, so that quantiles
        move smoothly instead of jumping from point to point.
        """
        return np.array(
            [
                self._quantiles(c, np.array([probability]), weight_T)[0]
                for c, weight_T in enumerate(self.threshold_weight)
            ]
        )

    def safe_probability(self, x: float) -> Floats:
        """Return the probability that the threshold lies at or above ``x``: shape [C]."""
        safe_C: Floats = self.threshold_weight[:, self.grid.thresholds() >= x].sum(1)
        return (1 - self.inferred.dead_C) * safe_C

    def expected_error(self, searched: Span) -> Floats:
        """Return how far the threshold is expected to lie from its median, inside the range: [C]."""
        theta_T = np.clip(self.grid.thresholds(), searched.low, searched.high)
        median_C = np.clip(self.quantile(0.5), searched.low, searched.high)
        alive_C = (self.threshold_weight * np.abs(theta_T - median_C[:, None])).sum(1)
        dead_C = self.inferred.dead_C
        error_C: Floats = (1 - dead_C) * alive_C + dead_C * (median_C - searched.low)
        return error_C

    def draws(self) -> Floats:
        """Return draws of all thresholds together: [N, C], -inf where a context is dead.

        The exact marginals, coupled by the correlations of their Gaussian approximation (a Gaussian
        copula); the same numbers at every call.
        """
        share_NC = self._shares
        weight_CT = self.threshold_weight
        return np.stack(
            [self._quantiles(c, share_NC[:, c], weight_CT[c]) for c in range(share_NC.shape[1])], axis=1
        )

    def curves(self) -> tuple[Floats, Floats]:
        """Return draws of whole failure curves, of all contexts together: thresholds and slopes, [N, C] each.

        What predicts trials best: thresholds without the room for roughness that ``draws`` has, and to
        each a slope that goes with it. -inf where a context is dead; the same numbers at every call.
        """
        share_NC = self._shares
        dice = np.random.default_rng(_DRAWS_SEED)
        theta, slope = [], []
        for c, weight_TS in enumerate(self._smooth_weight):
            theta_N = self._quantiles(c, share_NC[:, c], weight_TS.sum(1))
            cell_N = np.rint((np.maximum(theta_N, self.grid.low) - self.grid.low) / STEP).astype(int)
            cdf_NS = np.cumsum(weight_TS[np.minimum(cell_N, self.grid.size - 1)], axis=1)
            pick_N1 = dice.random((len(theta_N), 1)) * cdf_NS[:, -1:]
            slope.append(SLOPES_S[np.minimum((cdf_NS < pick_N1).sum(1), len(SLOPES_S) - 1)])
            theta.append(theta_N)
        return np.stack(theta, axis=1), np.stack(slope, axis=1)

    @cached_property
    def _shares(self) -> Floats:
        """Return for each draw which share of a context's posterior lies below it: [N, C]."""
        covariance_CC = self.inferred.covariance_CC
        sd_C = np.sqrt(np.diag(covariance_CC))
        sobol = qmc.MultivariateNormalQMC(
            np.zeros(len(sd_C)), covariance_CC / np.outer(sd_C, sd_C), seed=_DRAWS_SEED
        )
        share_NC: Floats = ndtr(sobol.random(_DRAWS))
        return share_NC

    def chance_to_be_best(self, searched: Span) -> Floats:
        """Return the probability that each context's frontier is about the highest: [C], a little above 0."""
        theta_NC = np.clip(self.draws(), searched.low, searched.high)
        share_C: Floats = (theta_NC >= theta_NC.max(1, keepdims=True) - _NEAR_BEST).mean(0)
        return _LEAST_CHANCE + share_C

    def failure_probability(self, context: int, x: float) -> float:
        """Return the posterior mean of P(fail) at one intensity of one context."""
        probability, weight = self._failure(context, x)
        return float(probability @ weight)

    def failure_interval(self, context: int, x: float, confidence: float) -> tuple[float, float]:
        """Return the central credible interval of P(fail) at one intensity of one context."""
        probability, weight = self._failure(context, x)
        order = np.argsort(probability)
        cdf = np.cumsum(weight[order])
        tail = (1 - confidence) / 2
        low, high = np.searchsorted(cdf, [tail, min(1 - tail, cdf[-1])])
        return float(probability[order[low]]), float(probability[order[high]])

    def slope(self, context: int, probability: float) -> float:
        """Return a quantile of the slope, nats of log-hazard per decade, in one context."""
        weight_S = self._smooth_weight[context].sum(0)
        position = int(np.searchsorted(np.cumsum(weight_S), probability - 1e-12))
        return float(SLOPES_S[min(position, len(SLOPES_S) - 1)])

    def _quantiles(self, context: int, probability_N: Floats, weight_T: Floats) -> Floats:
        dead = self.inferred.dead_C[context]
        edges = np.append(self.grid.thresholds() - STEP / 2, self.grid.thresholds()[-1] + STEP / 2)
        cdf = dead + (1 - dead) * np.append(0.0, np.cumsum(weight_T))
        alive_N = np.interp(probability_N, cdf, edges)
        return np.where(probability_N < dead, -np.inf, alive_N)

    def _failure(self, context: int, x: float) -> tuple[Floats, Floats]:
        """Return the values that P(fail) may have, and their weights.

        An average over seeds and nearby rates, which the smooth curve predicts best (measured).
        """
        return _failures(self.curve, self.grid, x), self._failure_weights[context]

    @cached_property
    def _failure_weights(self) -> list[Floats]:
        """Return the weights of the values that P(fail) may have, per context."""
        dead_C, rate_CQ = self.inferred.dead_C, self.inferred.dead_rate_CQ
        return [
            np.concatenate([(1 - dead) * smooth_TS.ravel(), dead * rate_Q])
            for dead, smooth_TS, rate_Q in zip(dead_C, self._smooth_weight, rate_CQ, strict=True)
        ]


@lru_cache(maxsize=1024)
def _failures(curve: FailureCurve, grid: Grid, x: float) -> Floats:
    """Return what P(fail) is at an intensity for every threshold and slope, and if dead: read-only.

    Kept for intensities seen before: of a thousand running trials, many share one.
    """
    failure_TS = curve.failure_probability(x - grid.thresholds(), SLOPES_S)
    values = np.concatenate([failure_TS.ravel(), DEAD_RATE_Q])
    values.flags.writeable = False
    return values


@lru_cache(maxsize=16)
def _roughness(size: int) -> Floats:
    """Return where a threshold lies given where the smooth curve has it: [S, T, T], rows sum to 1."""
    theta_T = STEP * np.arange(size)
    sd_S = np.hypot(_SMALLEST_ROUGHNESS, _ROUGHNESS_SD / SLOPES_S)
    distance_STT = theta_T[None, None, :] - theta_T[None, :, None] - _ROUGHNESS_MEAN / SLOPES_S[:, None, None]
    weight_STT = np.exp(-0.5 * (distance_STT / sd_S[:, None, None]) ** 2)
    rows_STT: Floats = weight_STT / weight_STT.sum(2, keepdims=True)
    return rows_STT


def posterior_of(
    curve: FailureCurve, searched: Span, evidence: Sequence[Evidence], prior: Prior
) -> Posterior:
    """Return the posterior of all contexts; trials outside the searched span widen the grid."""
    grid = Grid.around(searched, evidence)
    return Posterior(curve, grid, infer(grid, prior, data_of(curve, grid, evidence)))
