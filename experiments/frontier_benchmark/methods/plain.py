"""The full grid, and random search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.frontier_benchmark.methods.base import Point, Running
from experiments.frontier_benchmark.world import Trial, World

GRID_STEP = 0.2  # decades; chosen: twice the accuracy that is asked for, 21 rates over four decades


class GridSearcher:
    """Every rate of every context, shuffled; then all of them again with new seeds."""

    is_finished = False

    def __init__(self, world: World, seed: int) -> None:
        num_levels = round((world.high - world.low) / GRID_STEP) + 1
        levels = np.linspace(world.low, world.high, num_levels)
        self._points = [Point(c, float(x)) for c in range(len(world.contexts)) for x in levels]
        self._queue: list[Point] = []
        self._rng = np.random.default_rng([seed, 1])

    def ask(self, running: Sequence[Running]) -> Point:
        """Return the next point of this pass."""
        if not self._queue:
            self._queue = [self._points[index] for index in self._rng.permutation(len(self._points))]
        return self._queue.pop()

    def tell(self, number: int, point: Point, trial: Trial) -> None:
        """Do nothing: the order is fixed."""


class RandomSearcher:
    """A random context, a random rate."""

    is_finished = False

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._rng = np.random.default_rng([seed, 2])

    def ask(self, running: Sequence[Running]) -> Point:
        """Return any point."""
        context = int(self._rng.integers(len(self._world.contexts)))
        return Point(context, float(self._rng.uniform(self._world.low, self._world.high)))

    def tell(self, number: int, point: Point, trial: Trial) -> None:
        """Do nothing: no trial depends on another."""
