"""The failure curve of one context: how the failure probability grows with the intensity.

Shape letters: T thresholds, S slopes, X intensities. Intensities and thresholds stand in decades
(log10 of the learning rate), slopes in nats of log-hazard per decade.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SLOPES_S: Floats = 2.5 * 2.0 ** (np.arange(9) / 2)  # chosen: 2.5 .. 40 covers published boundaries
_SLOPE_MEDIAN = 8.0  # chosen: shallow on purpose; a steeper prior is faster and unsafe on shallow curves
_SLOPE_LOG_SD = math.hypot(0.7, 0.5)  # chosen: between models 0.7, between contexts of a model 0.5
_LAPSE = 0.02  # chosen: share of trials that end against their curve, whatever the learning rate is
_MAX_LAPSE_SHARE = 0.3  # of the risk: failures by lapse alone must stay well below it


@dataclass(frozen=True)
class FailureCurve:
    """A monotone curve that passes through ``max_failure_probability`` at the threshold.

    ``P(fail) = e_f + (1 - e_f - e_s) (1 - exp(-lam exp(slope (x - threshold))))``: the hazard is a
    power of the learning rate, plus lapse rates ``e_f`` (fails although safe) and ``e_s`` (survives
    although unsafe) so that one odd trial cannot decide.
    """

    max_failure_probability: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.max_failure_probability < 0.9:
            raise ValueError(
                f"max_failure_probability must be above 0 and below 0.9, got {self.max_failure_probability!r}"
            )

    @cached_property
    def failure_lapse(self) -> float:
        """Return ``e_f``, the probability of failing far below the threshold."""
        return min(_LAPSE, _MAX_LAPSE_SHARE * self.max_failure_probability)

    @cached_property
    def responsive_share(self) -> float:
        """Return ``1 - e_f - e_s``, the share of trials that follow the curve."""
        return 1 - self.failure_lapse - _LAPSE

    @cached_property
    def hazard_at_threshold(self) -> float:
        """Return ``lam``, the cumulated hazard of a trial exactly at the threshold."""
        excess = self.max_failure_probability - self.failure_lapse
        return -math.log1p(-excess / self.responsive_share)

    def failure_probability(self, x_X: Floats, theta_T: Floats) -> Floats:
        """Return P(fail) for every intensity, threshold and slope: shape [X, T, S]."""
        distance_XT1 = (x_X[:, None] - theta_T)[:, :, None]
        hazard_XTS = self.hazard_at_threshold * np.exp(np.minimum(distance_XT1 * SLOPES_S, 40.0))
        probability_XTS: Floats = self.failure_lapse - self.responsive_share * np.expm1(-hazard_XTS)
        return probability_XTS


def slope_prior() -> Floats:
    """Return the prior weight of each slope, log-normal on the slope grid: shape [S], sum 1."""
    weight_S = np.exp(-0.5 * (np.log(SLOPES_S / _SLOPE_MEDIAN) / _SLOPE_LOG_SD) ** 2)
    normalised_S: Floats = weight_S / weight_S.sum()
    return normalised_S
