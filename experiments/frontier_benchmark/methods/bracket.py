"""What a user reads off a table of trials: the gap between the last good and the first bad rate."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from experiments.frontier_benchmark.methods.base import Estimate, Point, without_interval
from experiments.frontier_benchmark.world import Floats, Trial, World

_NEAR_END = 0.3  # decades; chosen: a good (bad) rate this near the top (bottom) stands for all of it

Levels = dict[float, tuple[int, int]]
"""Learning rate, rounded -> failures and trials there."""


class BracketEstimator:
    """Calls a learning rate bad when its share of failures exceeds the risk."""

    learns_from_confirmation = False

    def __init__(self, world: World) -> None:
        self._world = world
        self._levels: list[Levels] = [defaultdict(lambda: (0, 0)) for _ in world.contexts]

    def learn(self, point: Point, trial: Trial) -> None:
        """Count one trial at its learning rate."""
        levels, x = self._levels[point.context], round(point.x, 3)
        failed, total = levels[x]
        levels[x] = failed + trial.failed, total + 1

    def estimate(self) -> Estimate:
        """Return the middle of each bracket."""
        middle_C = np.array([self._middle(levels) for levels in self._levels])
        return without_interval(np.clip(middle_C, self._world.low, self._world.high))

    def recommend(self) -> Point | None:
        """Return the highest learning rate below every bad one, over all contexts."""
        safe_C = np.array([self._safe(levels) for levels in self._levels])
        context = int(np.argmax(safe_C))
        return Point(context, float(safe_C[context])) if safe_C[context] > -np.inf else None

    def predict(self, context: int, x_N: Floats) -> Floats | None:
        """Return None: a bracket gives no probabilities."""
        return None

    def _middle(self, levels: Levels) -> float:
        world, (good, bad) = self._world, self._bracket(levels)
        if good is None and bad is None:
            return (world.low + world.high) / 2
        if bad is None:
            return world.high if good > world.high - _NEAR_END else good
        if good is None:
            return world.low if bad < world.low + _NEAR_END else bad - _NEAR_END
        return (good + bad) / 2

    def _safe(self, levels: Levels) -> float:
        """Return the rate to use; the range's end without trials; -infinity when that end failed."""
        world, (good, bad) = self._world, self._bracket(levels)
        if good is not None:
            return min(world.high if bad is None and good > world.high - _NEAR_END else good, world.high)
        if bad is None:
            return world.low
        return -np.inf if bad < world.low + _NEAR_END else max(bad - _NEAR_END, world.low)

    def _bracket(self, levels: Levels) -> tuple[float | None, float | None]:
        """Return the first bad rate and the tried rate below it."""
        good = None
        for x in sorted(levels):
            failed, total = levels[x]
            if failed / total > self._world.risk:
                return good, x
            good = x
        return good, None
