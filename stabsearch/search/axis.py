"""An Optuna parameter as a line in decades, or as a few levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

_LINEAR_DECADES = 4.0  # chosen: a linear range counts as this wide, like a typical learning-rate range
_MAX_EXACT_LEVELS = 8  # chosen: integers with more values than this are searched in bins
_BINS = 4  # chosen: enough to see a trend along a numeric parameter, few enough to fill

Numeric: TypeAlias = FloatDistribution | IntDistribution


@dataclass(frozen=True)
class Axis:
    """A numeric parameter measured in decades; a linear one in quarters of its range."""

    distribution: Numeric

    @property
    def low(self) -> float:
        """Return the lower end, decades."""
        return self.position(self.distribution.low)

    @property
    def high(self) -> float:
        """Return the upper end, decades."""
        return self.position(self.distribution.high)

    def position(self, value: float) -> float:
        """Return where a value stands, decades; NaN when the axis does not reach it."""
        if self.distribution.log:
            return math.log10(value) if value > 0 else math.nan
        return float(value) / self._unit

    def value(self, position: float) -> float | int:
        """Return the valid value nearest to a position: inside the bounds, on the step."""
        low, high, step = self.distribution.low, self.distribution.high, self.distribution.step
        value = 10.0**position if self.distribution.log else position * self._unit
        if step is not None:
            value = low + round((value - low) / step) * step
        value = min(max(value, low), high)
        return round(value) if isinstance(self.distribution, IntDistribution) else float(value)

    @property
    def _unit(self) -> float:
        return (self.distribution.high - self.distribution.low) / _LINEAR_DECADES or 1.0


@dataclass(frozen=True)
class Levels:
    """A parameter that spans contexts, as a few levels: choices, single integers, or bins."""

    distribution: BaseDistribution

    @property
    def count(self) -> int:
        """Return the number of levels."""
        if isinstance(self.distribution, CategoricalDistribution):
            return len(self.distribution.choices)
        exact = self._exact_count
        return exact if exact is not None else _BINS

    def of(self, value: Any) -> int | None:
        """Return the level of a value, None when the parameter cannot take it."""
        if isinstance(self.distribution, CategoricalDistribution):
            return self._choice(value)
        low, high = self.distribution.low, self.distribution.high
        if not isinstance(value, (int, float)) or not low <= value <= high:
            return None
        if self._exact_count is not None:
            return int(round((value - self.distribution.low) / (self.distribution.step or 1)))  # noqa: RUF046  # untyped
        axis = Axis(self.distribution)
        share = (axis.position(value) - axis.low) / (axis.high - axis.low)
        return min(int(share * _BINS), _BINS - 1)

    @property
    def values(self) -> list[Any]:
        """Return what stands for each level: the choice, the integer, the bin's middle."""
        if isinstance(self.distribution, CategoricalDistribution):
            return list(self.distribution.choices)
        if self._exact_count is None:
            axis = Axis(self.distribution)
            places = np.linspace(axis.low, axis.high, 2 * _BINS + 1)[1::2]
            return [axis.value(float(place)) for place in places]
        return [self.distribution.low + level * (self.distribution.step or 1) for level in range(self.count)]

    @property
    def is_numeric(self) -> bool:
        """True when all values are numbers."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)

    def draw(self, level: int, rng: np.random.Generator) -> Any:
        """Return a value of this level; inside a bin, any value is as likely."""
        if isinstance(self.distribution, CategoricalDistribution):
            return self.distribution.choices[level]
        axis = Axis(self.distribution)
        if self._exact_count is not None:
            return axis.value(axis.position(self.distribution.low + level * (self.distribution.step or 1)))
        return axis.value(axis.low + (level + rng.random()) / _BINS * (axis.high - axis.low))

    @property
    def _exact_count(self) -> int | None:
        """Return the number of values when they are few, else None."""
        low, high, step = self.distribution.low, self.distribution.high, self.distribution.step
        if low == high:
            return 1
        values = math.floor((high - low) / step + 1e-9) + 1 if step else math.inf
        return int(values) if values <= _MAX_EXACT_LEVELS else None

    def _choice(self, value: Any) -> int | None:
        try:
            return int(self.distribution.to_internal_repr(value))
        except ValueError:
            return None


def context_levels(space: Mapping[str, BaseDistribution], intensity: str) -> dict[str, Levels]:
    """Return the levels of every parameter but the intensity, by name."""
    return {name: Levels(distribution) for name, distribution in space.items() if name != intensity}
