"""How probable the trials of one context are under every threshold and shape of its curve.

Shape letters: T thresholds, J shapes of the curve, D distances. Decades.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stabsearch.frontier.curve import SLOPE_J, FailureCurve, Floats
from stabsearch.frontier.evidence import Evidence, Result, Tally

PADDING = 0.8  # decades; chosen: how far beyond the range a threshold may lie, each side
REACH = 2.0  # decades beyond the range; chosen: further away, trials of an earlier range say no more
STEP = 0.05  # decades; chosen: finer than what tens of trials resolve
_CELLS = 5  # chosen: intensities are rounded to a fifth of a step; seeds differ by more
CELL = STEP / _CELLS


@dataclass(frozen=True)
class Span:
    """The intensities searched, low and high included, decades."""

    low: float
    high: float

    def rounded(self, x: float) -> float:
        """Return an intensity as the likelihood sees it: to 0.01 decades."""
        return self.low + round((x - self.low) / CELL) * CELL

    def candidates(self) -> Floats:
        """Return the intensities worth proposing, both ends included; one if the span is a point."""
        cells = math.ceil((self.high - self.low) / STEP - 1e-9)
        return np.linspace(self.low, self.high, cells + 1) if cells else np.array([self.low])


@dataclass(frozen=True)
class Grid:
    """The thresholds considered: ``low + STEP * k``, k below ``size``."""

    low: float
    size: int

    @classmethod
    def around(cls, searched: Span, evidence: Iterable[Evidence] = ()) -> Grid:
        """Return the grid that reaches ``PADDING`` beyond the span and beyond every trial near it."""
        lowest, highest = searched.low - REACH, searched.high + REACH
        xs = [min(max(x, lowest), highest) for tallies in evidence for x in _ends(tallies)]
        steps_below = _steps(searched.low - min([searched.low, *xs]) + PADDING)
        steps_above = _steps(max([searched.high, *xs]) - searched.low + PADDING)
        return cls(searched.low - STEP * steps_below, steps_below + steps_above + 1)

    def thresholds(self) -> Floats:
        """Return the thresholds, ascending: [T]."""
        theta_T: Floats = self.low + STEP * np.arange(self.size, dtype=float)
        return theta_T

    def cell(self, x: float) -> int:
        """Return an intensity as a number of cells above the lowest threshold.

        What lies beyond the grid counts as its end: there every curve has long saturated.
        """
        return min(max(round((x - self.low) / CELL), 0), _CELLS * (self.size - 1))


@lru_cache(maxsize=1024)
def _ends(evidence: Evidence) -> tuple[float, ...]:
    """Return the lowest and the highest intensity of some trials; nothing without trials."""
    xs = [tally.x for tally in evidence]
    return (min(xs), max(xs)) if xs else ()


def _steps(width: float) -> int:
    return math.ceil(width / STEP - 1e-9)


@lru_cache(maxsize=1024)
def log_likelihood(curve: FailureCurve, grid: Grid, evidence: Evidence) -> Floats:
    """Return the log-likelihood of one context's trials: [T, J], read-only.

    Kept for evidence seen before: of many contexts, one trial changes one.
    """
    log_TJ = np.zeros((grid.size, len(SLOPE_J)))
    tables = [_by_distance(curve, grid.size, result) for result in Result]
    for tally in evidence:
        _add(log_TJ, curve, grid, tally, tables)
    log_TJ.flags.writeable = False
    return log_TJ


def _add(log_TJ: Floats, curve: FailureCurve, grid: Grid, tally: Tally, tables: Sequence[Floats]) -> None:
    """Add the log-likelihood of the trials at one intensity; ``tables`` as ``_by_distance``, per result."""
    cell = grid.cell(tally.x)
    for count, table_DJ in zip(tally.counts, tables, strict=True):
        if count == 1:
            log_TJ += _slid(table_DJ, cell, grid.size)
        elif count:
            log_TJ += count * _slid(table_DJ, cell, grid.size)
    if tally.alive:
        distance_T = (cell - _CELLS * np.arange(grid.size, dtype=float)) * CELL
        for exposure in tally.alive:
            log_TJ += np.log(curve.alive_probability(distance_T, exposure))


@lru_cache(maxsize=64)
def _by_distance(curve: FailureCurve, size: int, result: Result) -> Floats:
    """Return the log-probability of a result, at every distance a grid of this size can have: [D, J]."""
    reach = _CELLS * size
    distance_D = np.arange(-reach, reach + 1, dtype=float) * CELL
    return np.log(curve.probability(result, distance_D))


def _slid(table_DJ: Floats, cell: int, size: int) -> Floats:
    """Return the rows of the table for one intensity and every threshold: [T, J]."""
    first = cell + _CELLS * size
    last = first - _CELLS * (size - 1)
    return table_DJ[last : first + 1 : _CELLS][::-1]
