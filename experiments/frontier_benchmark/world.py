"""What a search method is let loose on: contexts, a learning-rate range, and trials that fail or not.

Shape letters: C contexts, X learning rates. ``x`` is log10 of the learning rate, everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stabsearch.records import Context

Floats = NDArray[np.float64]

JITTER = 0.02  # decades each way; chosen: at one exact rate the boundary may be a filament
_STEP = 0.0025  # decades; chosen: 8 steps per jitter width, far below any error reported


class Trial(NamedTuple):
    """What one trial showed."""

    failed: bool
    degraded: bool
    """Survived, but learned little. Means nothing for a trial that failed."""
    steps: int
    """Optimizer steps it ran for: the horizon when it survived."""


class World(Protocol):
    """One problem with a known answer. Contexts are the full product of their three parameters."""

    @property
    def contexts(self) -> Sequence[Context]:
        """Return the contexts; everywhere else a context is its position here."""

    @property
    def low(self) -> float:
        """Return the lowest x searched."""

    @property
    def high(self) -> float:
        """Return the highest x searched."""

    @property
    def horizon(self) -> int:
        """Return the optimizer steps of a trial that survives."""

    @property
    def risk(self) -> float:
        """Return the failure probability that defines the frontier."""

    @property
    def truth_C(self) -> Floats:
        """Return the true frontier of each context, inside [low, high]."""

    def failure_probability(self, context: int, x: Floats) -> Floats:
        """Return the true P(fail within the horizon) at each x: [X]."""

    def sample(self, context: int, x: float, rng: np.random.Generator) -> Trial:
        """Return the outcome of one trial with a fresh seed."""


def true_frontier(failure: Callable[[Floats], Floats], low: float, high: float, risk: float) -> float:
    """Return the largest x below which P(fail) never exceeds the risk, held to [low, high].

    P is averaged over ``JITTER`` decades either side: what a seed-averaged user would see.

    >>> round(true_frontier(lambda x: (x > -4.0) * 1.0, -6.0, -2.0, 0.1), 2)
    -4.02
    """
    reach = round(JITTER / _STEP)
    x_X = np.arange(low - 0.05, high + 0.05 + _STEP / 25, _STEP)
    padded_X = np.pad(failure(x_X), reach, mode="edge")
    mean_X = np.convolve(padded_X, np.full(2 * reach + 1, 1 / (2 * reach + 1)), mode="valid")
    unsafe = np.flatnonzero(mean_X > risk)
    return float(np.clip(x_X[unsafe[0]] if unsafe.size else high, low, high))
