"""The failure curve of one context: how a trial's ending depends on its intensity.

Shape letters: D distances, J shapes, C contexts. Intensities and thresholds stand in decades (log10
of the learning rate), slopes in nats of log-hazard per decade.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stabsearch.frontier.evidence import Result

Floats = NDArray[np.float64]

SLOPES_S: Floats = 2.5 * 2.0 ** (np.arange(9) / 2)  # chosen: 2.5 .. 40 covers published boundaries
BANDS_B: Floats = np.array([0.0, 0.15, 0.3, 0.5])  # decades; chosen: degraded begins so far below failing
SLOPE_J: Floats = np.repeat(SLOPES_S, len(BANDS_B))
BAND_J: Floats = np.tile(BANDS_B, len(SLOPES_S))
_LAPSE = 0.02  # chosen: share of trials that end against their curve, whatever the learning rate is
_MAX_LAPSE_SHARE = 0.3  # of the risk: failures by lapse alone must stay well below it
_WRONG_GRADE = 0.03  # chosen: share of survivors whose grade says the opposite
EXPOSURE_POWER = 0.6  # chosen: failures come early; half of the horizon carries two thirds of the hazard


@dataclass(frozen=True)
class FailureCurve:
    """A monotone curve that passes through ``max_failure_probability`` at the threshold.

    ``P(fail) = e_f + (1 - e_f - e_s) (1 - exp(-lam exp(slope (x - threshold))))``: the hazard is a
    power of the learning rate, plus lapse rates ``e_f`` (fails although safe) and ``e_s`` (survives
    although unsafe) so that one odd trial cannot decide. Survivors are degraded, rather than clean,
    along the same curve moved down by ``band``.

    Time to failure is left out on purpose: a misspecified model of it biased the threshold by half
    a decade in simulation, because failures far above the threshold are cheap and pile up.
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

    def hazard(self, distance_D: Floats, slope_J: Floats = SLOPE_J) -> Floats:
        """Return the cumulated hazard at a distance above the threshold, for every slope: [D, J]."""
        exponent_DJ = np.asarray(distance_D)[..., None] * slope_J
        hazard_DJ: Floats = self.hazard_at_threshold * np.exp(np.clip(exponent_DJ, -40.0, 40.0))
        return hazard_DJ

    def failure_probability(self, distance_D: Floats, slope_J: Floats = SLOPE_J) -> Floats:
        """Return P(fail) at a distance above the threshold, decades, for every slope: [D, J]."""
        hazard_DJ = self.hazard(distance_D, slope_J)
        probability_DJ: Floats = self.failure_lapse - self.responsive_share * np.expm1(-hazard_DJ)
        return probability_DJ

    def alive_probability(self, distance_D: Floats, exposure: float) -> Floats:
        """Return P(alive after a share of the horizon's exposure), 0 to 1: [D, J].

        Failures come early: ``exp(-hazard * exposure ** 0.6)``.
        """
        alive_DJ = np.exp(-self.hazard(distance_D) * exposure**EXPOSURE_POWER)
        probability_DJ: Floats = 1 - exposure * self.failure_lapse - self.responsive_share * (1 - alive_DJ)
        return probability_DJ

    def clean_probability(self, distance_D: Floats) -> Floats:
        """Return P(clean | survived) at a distance above the threshold: [D, J]."""
        hazard_DJ = self.hazard(distance_D) * np.expm1(SLOPE_J * BAND_J)
        clean_DJ: Floats = _WRONG_GRADE + (1 - 2 * _WRONG_GRADE) * np.exp(-hazard_DJ)
        return clean_DJ

    def probability(self, result: Result, distance_D: Floats) -> Floats:
        """Return the probability that a trial ends in ``result``: [D, J]."""
        failure_DJ = self.failure_probability(distance_D)
        match result:
            case Result.FAILED:
                return failure_DJ
            case Result.SURVIVED:
                return 1 - failure_DJ
            case Result.CLEAN:
                return (1 - failure_DJ) * self.clean_probability(distance_D)
            case Result.DEGRADED:
                return (1 - failure_DJ) * (1 - self.clean_probability(distance_D))
