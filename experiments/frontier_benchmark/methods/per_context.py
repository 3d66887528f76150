"""The estimator of stabsearch 0.1, kept for comparison: every context by itself, exact on a grid.

Shape letters: C contexts, T thresholds, S slopes, X candidate rates, N points, M moments 0 to 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from experiments.frontier_benchmark.methods.base import Estimate, Point, Running
from experiments.frontier_benchmark.world import Floats, Trial, World

# All numbers are those of version 0.1.
_SLOPES_S = 2.5 * 2.0 ** (np.arange(9) / 2)
_SLOPE_MEDIAN, _SLOPE_LOG_SD = 8.0, math.hypot(0.7, 0.5)
_LAPSE, _MAX_LAPSE_SHARE = 0.02, 0.3
_PADDING, _STEP = 0.8, 0.05
_RESOLVED_SD, _BEYOND, _JITTER = 0.1, 0.2, 0.02
_PROBE_EVERY, _PROBE_QUANTILE, _SAFE_SIDE_QUANTILE = 6, 0.1, 0.25
_STEP_BELOW_FAILURE, _MAX_WIDTH, _MIN_TRIALS = 0.1, 1.5, 2
_TAIL = 0.05


class PerContext:
    """Searches and concludes with one independent posterior per context."""

    is_finished = False
    learns_from_confirmation = True

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._rng = np.random.default_rng([seed, 4])
        self._num_asked = 0
        self._points: dict[int, Point] = {}
        self._facts: list[tuple[Point, bool]] = []
        self._theta_T = _even(world.low - _PADDING, world.high + _PADDING)
        self._x_X = _even(world.low, world.high)
        self._failure_XTS = self._failure(self._x_X)
        log_S = -0.5 * (np.log(_SLOPES_S / _SLOPE_MEDIAN) / _SLOPE_LOG_SD) ** 2
        self._log_CTS = np.tile(log_S, (len(world.contexts), len(self._theta_T), 1))

    def ask(self, running: Sequence[Running]) -> Point:
        """Return the trial that shrinks the summed variance most, or a probe of the safe side."""
        number, self._num_asked = self._num_asked, self._num_asked + 1
        is_probe = number >= len(self._log_CTS) and number % _PROBE_EVERY == _PROBE_EVERY - 1
        point = self._probe() if is_probe else None
        point = point or self._most_informative([self._points[trial.number] for trial in running])
        jittered = point.x + self._rng.uniform(-_JITTER, _JITTER)
        self._points[number] = Point(
            point.context, float(np.clip(jittered, self._world.low, self._world.high))
        )
        return self._points[number]

    def tell(self, number: int, point: Point, trial: Trial) -> None:
        """Do nothing: searcher and estimator are one, and ``learn`` is told the same."""

    def learn(self, point: Point, trial: Trial) -> None:
        """Add one trial to its context's likelihood."""
        self._log_CTS[point.context] += self._log_likelihood(point.x, trial.failed)
        self._facts.append((point, trial.failed))

    def estimate(self) -> Estimate:
        """Return median and 90 % interval of each threshold, held to the range."""
        low_C, median_C, high_C = (self._quantile(q) for q in (_TAIL, 0.5, 1 - _TAIL))
        ends = self._world.low, self._world.high
        return Estimate(np.clip(median_C, *ends), np.clip(low_C, *ends), np.clip(high_C, *ends))

    def recommend(self) -> Point | None:
        """Return the highest lower bound that is below every failure of its context, or None."""
        low_C, median_C, high_C = (self._quantile(q) for q in (_TAIL, 0.5, 1 - _TAIL))
        bounds = np.minimum(low_C, self._world.high)
        for context in range(len(bounds)):
            failed = [point.x for point, has_failed in self._of(context) if has_failed]
            bounds[context] = min([bounds[context], *(x - _STEP_BELOW_FAILURE for x in failed)])
            width = min(high_C[context], self._world.high) - max(low_C[context], self._world.low)
            is_vague = width > _MAX_WIDTH or median_C[context] < self._world.low
            if is_vague or len(self._of(context)) < _MIN_TRIALS or bounds[context] < self._world.low:
                bounds[context] = -np.inf
        best = int(np.argmax(bounds))
        return Point(best, float(bounds[best])) if bounds[best] > -np.inf else None

    def predict(self, context: int, x_N: Floats) -> Floats | None:
        """Return the posterior mean of P(fail)."""
        predicted_N: Floats = np.tensordot(self._failure(x_N), _weights(self._log_CTS)[context], 2)
        return predicted_N

    def _of(self, context: int) -> list[tuple[Point, bool]]:
        return [fact for fact in self._facts if fact[0].context == context]

    def _failure(self, x_N: Floats) -> Floats:
        """Return P(fail) at every x, threshold and slope: [N, T, S]."""
        risk = self._world.risk
        lapse = min(_LAPSE, _MAX_LAPSE_SHARE * risk)
        share = 1 - lapse - _LAPSE
        log_hazard = math.log(-math.log1p(-(risk - lapse) / share))
        distance_NT1 = (np.asarray(x_N)[:, None] - self._theta_T)[:, :, None]
        hazard_NTS = np.exp(np.minimum(log_hazard + distance_NT1 * _SLOPES_S, 40.0))
        failure_NTS: Floats = lapse - share * np.expm1(-hazard_NTS)
        return failure_NTS

    def _log_likelihood(self, x: float, failed: bool) -> Floats:
        failure_TS = self._failure(np.array([x]))[0]
        log_TS: Floats = np.log(failure_TS if failed else 1 - failure_TS)
        return log_TS

    def _quantile(self, probability: float) -> Floats:
        edges = np.append(self._theta_T - _STEP / 2, self._theta_T[-1] + _STEP / 2)
        cdf_CT = np.cumsum(_weights(self._log_CTS).sum(2), axis=1)
        return np.array([np.interp(probability, np.append(0.0, cdf_T), edges) for cdf_T in cdf_CT])

    def _probe(self) -> Point | None:
        """Return a trial where survival is expected, in the context with fewest such trials."""
        x_C, edge_C = self._quantile(_PROBE_QUANTILE), self._quantile(_SAFE_SIDE_QUANTILE)
        probes_C = np.zeros(len(x_C))
        for point, _ in self._facts:
            probes_C[point.context] += point.x <= edge_C[point.context]
        weight_C = self._unresolved(_weights(self._log_CTS)) * (1 + 1e-6 * self._rng.random(len(x_C)))
        urgency_C = np.where(x_C > self._world.low, weight_C / (1 + probes_C), 0.0)
        context = int(np.argmax(urgency_C))
        return Point(context, float(x_C[context])) if urgency_C[context] > 0 else None

    def _most_informative(self, running: Sequence[Point]) -> Point:
        """Return the argmax of the expected variance reduction, once running trials are imagined."""
        weight_CTS = _weights(self._log_CTS)
        log_CTS = self._log_CTS.copy()
        for point in running:
            failure = float((self._failure(np.array([point.x]))[0] * weight_CTS[point.context]).sum())
            log_CTS[point.context] += self._log_likelihood(point.x, bool(self._rng.random() < failure))
            weight_CTS = _weights(log_CTS)
        gain_CX = self._variance_reduction(weight_CTS) * self._unresolved(weight_CTS)[:, None]
        gain_CX = gain_CX * (1 + 1e-6 * self._rng.random(gain_CX.shape))
        context, candidate = np.unravel_index(int(np.argmax(gain_CX)), gain_CX.shape)
        return Point(int(context), float(self._x_X[candidate]))

    def _clipped(self) -> Floats:
        return np.clip(self._theta_T, self._world.low - _BEYOND, self._world.high + _BEYOND)

    def _variance_reduction(self, weight_CTS: Floats) -> Floats:
        power_MT = self._clipped() ** np.arange(3)[:, None]
        moment_CM = weight_CTS.sum(2) @ power_MT.T
        moment_CMTS = weight_CTS[:, None] * power_MT[:, :, None]
        failed_CMX = np.tensordot(moment_CMTS, self._failure_XTS, ((2, 3), (1, 2)))
        survived_CMX = moment_CM[:, :, None] - failed_CMX
        now_C = moment_CM[:, 2] - moment_CM[:, 1] ** 2
        reduction_CX: Floats = now_C[:, None] - _variance(failed_CMX) - _variance(survived_CMX)
        return np.maximum(reduction_CX, 0.0)

    def _unresolved(self, weight_CTS: Floats) -> Floats:
        weight_CT, theta_T = weight_CTS.sum(2), self._clipped()
        sd_C = np.sqrt(np.maximum(weight_CT @ theta_T**2 - (weight_CT @ theta_T) ** 2, 0.0))
        return np.clip(sd_C / _RESOLVED_SD - 0.3, 0.05, 1.0)


def _even(low: float, high: float) -> Floats:
    return np.linspace(low, high, int(np.ceil((high - low) / _STEP - 1e-9)) + 1)


def _weights(log_CTS: Floats) -> Floats:
    """Return normalized posterior weights: each context sums to 1."""
    weight_CTS = np.exp(log_CTS - log_CTS.max((1, 2), keepdims=True))
    normalized_CTS: Floats = weight_CTS / weight_CTS.sum((1, 2), keepdims=True)
    return normalized_CTS


def _variance(moment_CMX: Floats) -> Floats:
    """Return probability times variance of one outcome from its moments: [C, X]."""
    variance_CX: Floats = moment_CMX[:, 2] - moment_CMX[:, 1] ** 2 / np.maximum(moment_CMX[:, 0], 1e-12)
    return variance_CX
