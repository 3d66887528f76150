"""Plain bisection of each context, with one or more seeds per rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from experiments.frontier_benchmark.methods.base import Estimate, Point, Running, without_interval
from experiments.frontier_benchmark.world import Floats, Trial, World

_WIDTH = 0.1  # decades; chosen: the accuracy that is asked for


@dataclass
class _Bracket:
    """One context's search: the boundary lies between low and high."""

    low: float
    high: float
    num_running: int = 0
    outcomes: list[bool] = field(default_factory=list)
    """Failed or not, of the trials at the middle that have ended."""

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2

    @property
    def is_done(self) -> bool:
        return self.high - self.low <= _WIDTH

    def wants(self, num_seeds: int) -> bool:
        is_open = not self.is_done and not any(self.outcomes)
        return is_open and self.num_running + len(self.outcomes) < num_seeds

    def take(self, failed: bool, num_seeds: int) -> None:
        """Note an outcome at the middle; move there once one seed failed or all have survived."""
        self.num_running -= 1
        self.outcomes.append(failed)
        if failed:
            self.high = self.middle
        elif len(self.outcomes) == num_seeds:
            self.low = self.middle
        else:
            return
        self.num_running, self.outcomes = 0, []


class Bisection:
    """Halves each context's bracket; a rate is unstable if any of its seeds fails."""

    learns_from_confirmation = False

    def __init__(self, world: World, seed: int, num_seeds: int) -> None:
        self._world, self._num_seeds = world, num_seeds
        self._rng = np.random.default_rng([seed, 3])
        self._brackets = [_Bracket(world.low, world.high) for _ in world.contexts]

    @property
    def is_finished(self) -> bool:
        """Return whether every bracket is narrow enough."""
        return all(bracket.is_done for bracket in self._brackets)

    def ask(self, running: Sequence[Running]) -> Point | None:
        """Return a trial in the middle of any open bracket, None when all wait for outcomes."""
        for context in self._rng.permutation(len(self._brackets)):
            bracket = self._brackets[context]
            if bracket.wants(self._num_seeds):
                bracket.num_running += 1
                return Point(int(context), bracket.middle)
        return None

    def tell(self, number: int, point: Point, trial: Trial) -> None:
        """Narrow the bracket, unless it has moved on since the trial was started."""
        bracket = self._brackets[point.context]
        if not bracket.is_done and abs(point.x - bracket.middle) < 1e-9:
            bracket.take(trial.failed, self._num_seeds)

    def learn(self, point: Point, trial: Trial) -> None:
        """Do nothing: what the searcher was told decides."""

    def estimate(self) -> Estimate:
        """Return the middle of each bracket, the range's end where it never moved from there."""
        return without_interval(np.array([self._point(bracket) for bracket in self._brackets]))

    def recommend(self) -> Point | None:
        """Return the highest rate that survived; None when not even one did in a finished search."""
        safe_C = np.array([self._safe(bracket) for bracket in self._brackets])
        context = int(np.argmax(safe_C))
        return Point(context, float(safe_C[context])) if safe_C[context] > -np.inf else None

    def predict(self, context: int, x_N: Floats) -> Floats | None:
        """Return None: a bracket gives no probabilities."""
        return None

    def _point(self, bracket: _Bracket) -> float:
        if bracket.is_done and bracket.low == self._world.low:
            return self._world.low
        if bracket.is_done and bracket.high == self._world.high:
            return self._world.high
        return bracket.middle

    def _safe(self, bracket: _Bracket) -> float:
        is_dead = bracket.is_done and bracket.low == self._world.low
        return -np.inf if is_dead else bracket.low
