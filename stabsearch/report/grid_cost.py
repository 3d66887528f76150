"""What an even grid would have cost that finds the frontier as exactly as the search did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stabsearch.frontier import Frontier
from stabsearch.records import Stage, TrialRecord


@dataclass(frozen=True)
class GridCost:
    """An even grid beside the search; both without confirmation."""

    spacing: float
    """Decades between neighbouring learning rates of the grid."""
    num_contexts: int
    trials: int
    steps: float
    """Optimizer steps that the grid's trials would be expected to take."""
    seconds: float
    """Worker seconds they would be expected to take, as long per step and start as the search's."""
    search_trials: int
    search_steps: int
    search_seconds: float

    @property
    def fold(self) -> float:
        """Return how many times as many steps the grid would take."""
        return self.steps / self.search_steps


def grid_cost(frontier: Frontier, records: Sequence[TrialRecord], horizon: int) -> GridCost | None:
    """Return what the grid would have cost; None when there is no frontier to compare it with.

    A boundary that is bracketed by two neighbours of a grid lies at the middle of them but for a quarter of
    their distance, on average. So a grid is as exact as the search when its neighbours are four times the
    search's expected error apart. Its trials end as the frontier's model foresees.

    Args:
        frontier: fitted to the records.
        records: every trial; confirmation is left out.
        horizon: optimizer steps of a trial that survives.
    """
    places = [place for place, row in enumerate(frontier.rows) if row.num_trials]
    searched = [record for record in records if record.plan.stage is not Stage.CONFIRM]
    steps = sum(record.steps for record in searched)
    if not places or not steps:
        return None
    span = frontier.searched
    error = float(np.mean(frontier.posterior.expected_error(span)[places]))
    rates = max(math.ceil((span.high - span.low) / (4 * error)) + 1, 2)
    x_X = np.linspace(span.low, span.high, rates)
    failing = math.fsum(frontier.posterior.failure_probability(c, float(x)) for c in places for x in x_X)
    trials = rates * len(places)
    broken = _mean([float(record.steps) for record in searched if record.outcome.is_failure], horizon)
    grid_steps = (trials - failing) * horizon + failing * min(broken, horizon)
    train_s, startup_s = sum(r.train_s for r in searched), sum(r.startup_s for r in searched)
    return GridCost(
        spacing=float(x_X[1] - x_X[0]),
        num_contexts=len(places),
        trials=trials,
        steps=grid_steps,
        seconds=grid_steps * train_s / steps + trials * startup_s / len(searched),
        search_trials=len(searched),
        search_steps=steps,
        search_seconds=train_s + startup_s,
    )


def _mean(values: Sequence[float], otherwise: float) -> float:
    return math.fsum(values) / len(values) if values else otherwise
