"""Simulated worlds: failure curves over the learning rate, one per context, and how long a failure takes.

Shape letters: C contexts, X learning rates, J octaves of roughness.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import expit, ndtr

from experiments.frontier_benchmark.world import Floats, Trial, true_frontier
from stabsearch.records import Context

HORIZON = 400  # optimizer steps; chosen: only ratios to it matter
WARMUPS = (0, 60)  # optimizer steps; none, and 15 % of the horizon
CONTEXTS = tuple(itertools.starmap(Context, itertools.product(("fp32", "bf16", "fp16"), WARMUPS, (0.0, 1.0))))
OCTAVES = 9  # chosen: the finest one is 0.0001 decades long, below anything a search resolves

_PROBIT_SCALE = 1.702  # the probit closest to a logistic curve (Camilli 1994)
_ISLAND_HEIGHT, _ISLAND_SD = 0.45, 0.12  # chosen: often survived by one seed; 0.3 decades across
_ROUGHNESS_FREQUENCY = 1.5  # cycles per decade of the first octave; each next is three times as fast
_GROWTH_STEPS = 12  # chosen: median steps from instability to a loss that is called failed
_DEAD_DEPTH = 1.5  # decades; chosen: a dead context fails as fast as one far above its frontier


@dataclass(frozen=True)
class Surface:
    """One world of a family; every array has one entry per context."""

    centre_C: Floats
    """Where half of the trials fail."""
    slope_C: Floats
    """Steepness of the curve there, nats per decade."""
    degraded_offset_C: Floats
    """How far below the centre half of the trials are degraded, decades."""
    background: float = 0.002
    """Share of trials that fail at any learning rate."""
    ceiling: float = 1.0
    """Failure probability far above the centre."""
    is_probit: bool = False
    island_C: Floats | None = None
    """Middle of an island of failures, NaN where there is none."""
    floor_C: Floats | None = None
    """Failure probability that even the lowest learning rate has; 0 where the context is alive."""
    roughness: float = 0.0
    """Amplitude of the fractal part, logits."""
    phase_CJ: Floats | None = None
    contexts: tuple[Context, ...] = CONTEXTS
    low: float = -6.0
    high: float = -2.0
    horizon: int = HORIZON
    risk: float = 0.1

    @cached_property
    def truth_C(self) -> Floats:
        """Return the true frontier of each context."""
        return np.array([self._true_frontier(context) for context in range(len(self.contexts))])

    def failure_probability(self, context: int, x: Floats) -> Floats:
        """Return the true P(fail) at each x."""
        x = np.asarray(x, dtype=float)
        z = self.slope_C[context] * (x - self.centre_C[context]) + self._rough(context, x)
        curve = self.ceiling * (ndtr(z / _PROBIT_SCALE) if self.is_probit else expit(z))
        curve = np.maximum(curve, self._island(context, x))
        curve = self.background + (1 - self.background) * curve
        return np.maximum(curve, self._floor(context))

    def sample(self, context: int, x: float, rng: np.random.Generator) -> Trial:
        """Return the outcome of one trial."""
        x_degraded = x - self.centre_C[context] + self.degraded_offset_C[context]
        degraded = bool(rng.random() < expit(self.slope_C[context] * x_degraded))
        if rng.random() >= float(self.failure_probability(context, np.array(x))):
            return Trial(False, degraded, self.horizon)
        return Trial(True, degraded, self._steps_to_failure(context, x, rng))

    def _steps_to_failure(self, context: int, x: float, rng: np.random.Generator) -> int:
        """Return when a failing trial fails.

        The warmup ramp has to cross the critical rate, then the loss grows for some tens of steps;
        near the boundary it is late, and spread over the horizon.
        """
        above = _DEAD_DEPTH if self._floor(context) > 0 else x - self.centre_C[context]
        ramp = self.contexts[context].warmup_steps * min(1.0, 10 ** -max(above, 0.0))
        growth = rng.lognormal(math.log(_GROWTH_STEPS), 0.6)
        late = 0.6 * self.horizon * 10 ** (-2.0 * max(above, -0.1)) * rng.exponential()
        return int(np.clip(ramp + growth + late, 2, self.horizon))

    def _true_frontier(self, context: int) -> float:
        return true_frontier(
            lambda x_X: self.failure_probability(context, x_X), self.low, self.high, self.risk
        )

    def _rough(self, context: int, x: Floats) -> Floats:
        """Return a Weierstrass function of x, logits: rough at every scale down to the last octave."""
        if self.phase_CJ is None or not self.roughness:
            return np.zeros_like(x)
        octaves = np.arange(self.phase_CJ.shape[1])
        angle = 2 * np.pi * _ROUGHNESS_FREQUENCY * 3.0**octaves * x[..., None] + self.phase_CJ[context]
        total: Floats = (2.0 ** (-0.5 * octaves) * np.cos(angle)).sum(-1)
        return self.roughness / 1.5 * total

    def _island(self, context: int, x: Floats) -> Floats:
        if self.island_C is None or np.isnan(self.island_C[context]):
            return np.zeros_like(x)
        distance = (x - self.island_C[context]) / _ISLAND_SD
        return _ISLAND_HEIGHT * np.exp(-0.5 * distance**2)

    def _floor(self, context: int) -> float:
        return 0.0 if self.floor_C is None else float(self.floor_C[context])
