"""How probable failure is at every learning rate of a context, as a colour behind its trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stabsearch.frontier import Frontier
from stabsearch.records import Context

NUM_RATES = 49  # chosen: finer than an eye sees on an axis of a few hundred px
RISK_LIGHT, RISK_DARK = "#d4456a", "#c2406a"
"""Certain failure on a light and on a dark page; no failure is the page itself. One hue of growing contrast,
so that it reads alike with every colour blindness and in grey; light enough for marks in ink above it."""
RISK_STYLE = f""":root {{ --risk: {RISK_LIGHT}; }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ --risk: {RISK_DARK}; }} }}
"""
"""The same colours for a page; on paper it is the light one."""


@dataclass(frozen=True)
class Strip:
    """The failure probability of one context, from the lowest learning rate shown to the highest."""

    points: tuple[tuple[float, float], ...]
    """Place on the logarithmic axis, 0 to 1, and probability."""

    def corners(self) -> tuple[tuple[float, float], ...]:
        """Return as few of the points as draw the same picture, to half a percent."""
        kept = [self.points[0]]
        for index in range(1, len(self.points) - 1):
            if not _is_straight(kept[-1], self.points[index:]):
                kept.append(self.points[index])
        return (*kept, self.points[-1])


def _is_straight(begin: tuple[float, float], points: Sequence[tuple[float, float]]) -> bool:
    """Return whether the first point lies where the line from ``begin`` to the second has it."""
    (x, y), (end_x, end_y) = points[0], points[1]
    share = (x - begin[0]) / (end_x - begin[0])
    return abs(begin[1] + share * (end_y - begin[1]) - y) < 0.005


def strips_of(frontier: Frontier, low: float, high: float) -> dict[Context, Strip]:
    """Return the strip of every context that trials ran in, between two learning rates."""
    x_X = np.linspace(math.log10(low), math.log10(high), NUM_RATES)
    return {
        row.context: Strip(
            tuple(
                (
                    round(place / (NUM_RATES - 1), 4),
                    frontier.posterior.failure_probability(position, float(x)),
                )
                for place, x in enumerate(x_X)
            )
        )
        for position, row in enumerate(frontier.rows)
        if row.num_trials
    }
