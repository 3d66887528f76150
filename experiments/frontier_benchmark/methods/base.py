"""What a search method has to answer. Shape letters: C contexts, N points. ``x`` is log10 learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from experiments.frontier_benchmark.world import Floats, Trial


class Point(NamedTuple):
    """A configuration: a context, by position, and a log10 learning rate."""

    context: int
    x: float


class Running(NamedTuple):
    """A trial that is running now."""

    number: int
    alive: float
    """Share of the horizon it has survived so far, below 1."""


@dataclass(frozen=True)
class Estimate:
    """A method's picture of the frontier; x values inside the range."""

    point_C: Floats
    """Best guess per context."""
    low_C: Floats
    """Lower end of the 90 % interval; NaN for methods that give none."""
    high_C: Floats
    """Upper end of the 90 % interval; NaN for methods that give none."""
    expected_error_C: Floats | None = None
    """The error that the method itself expects of its points, decades."""
    flagged_C: NDArray[np.bool_] | None = None
    """Where the method says that its own assumptions do not hold."""


class Searcher(Protocol):
    """Proposes trials; they are numbered from 0 in the order of the proposals."""

    @property
    def is_finished(self) -> bool:
        """Return whether it will never propose again."""

    def ask(self, running: Sequence[Running]) -> Point | None:
        """Return the next trial, None when it waits for a running one."""

    def tell(self, number: int, point: Point, trial: Trial) -> None:
        """Take note of a finished trial."""


class Estimator(Protocol):
    """Concludes from trials, whoever proposed them."""

    @property
    def learns_from_confirmation(self) -> bool:
        """Return whether its recommendation moves with failed confirmations by itself."""

    def learn(self, point: Point, trial: Trial) -> None:
        """Take one finished trial into account."""

    def estimate(self) -> Estimate:
        """Return the frontier as far as it is known."""

    def recommend(self) -> Point | None:
        """Return the configuration to use, None to abstain."""

    def predict(self, context: int, x_N: Floats) -> Floats | None:
        """Return P(fail) at each x: [N], None for methods that do not predict."""


@dataclass(frozen=True)
class Method:
    """A searcher and an estimator; one object may be both."""

    searcher: Searcher
    estimator: Estimator


def without_interval(point_C: Floats) -> Estimate:
    """Return an estimate that claims no interval."""
    unknown_C = np.full(len(point_C), np.nan)
    return Estimate(point_C, unknown_C, unknown_C)
