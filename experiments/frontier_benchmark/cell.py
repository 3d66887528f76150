"""One cell of the benchmark: one method in one world, measured while it searches."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from experiments.frontier_benchmark.certificate import certify
from experiments.frontier_benchmark.loop import Run
from experiments.frontier_benchmark.methods.registry import METHODS
from experiments.frontier_benchmark.scores import Score, calibration, score
from experiments.frontier_benchmark.worlds import FAMILIES

CHECK_EVERY = 6  # trials; chosen: fine enough to see when an error is reached, cheap enough to fit each time
CERTIFY_AT = (25.0, 60.0)  # horizons; chosen: what a user spends at least, and what is compared elsewhere


class Cell(NamedTuple):
    """What is measured."""

    method: str
    family: str
    seed: int
    budget: float
    """Horizons."""

    @property
    def key(self) -> str:
        """Return the cell's name in a file of results."""
        return f"{self.method} | {self.family} | {self.seed} | {self.budget:g}"


def measure(cell: Cell) -> dict[str, Any]:
    """Return all numbers of a cell, as JSON data; the same cell gives the same numbers but for times."""
    entry, world = METHODS[cell.method], FAMILIES[cell.family](cell.seed)
    run = Run(world, entry.make(world, cell.seed), cell.seed)
    began = time.process_time()
    scores: list[Score] = []
    certificates: dict[str, Any] = {}
    for _ in run.until(cell.budget):
        if run.num_trials % CHECK_EVERY == 0 or run.is_over:
            scores.append(score(world, run.method.estimator, run.num_trials, run.cost))
        for budget in CERTIFY_AT:
            if run.cost >= budget and str(budget) not in certificates:
                certificates[str(budget)] = certify(world, run.method.estimator, cell.seed)
        if run.num_trials == entry.max_trials:
            break
    for budget in CERTIFY_AT:
        if budget <= cell.budget and str(budget) not in certificates:  # it ended before that
            certificates[str(budget)] = certify(world, run.method.estimator, cell.seed)
    return {
        "key": cell.key,
        **cell._asdict(),
        "risk": world.risk,
        "num_contexts": len(world.contexts),
        "num_trials": run.num_trials,
        "cost": run.cost,
        "checks": _columns(scores),
        "certificates": {at: _rounded(numbers) for at, numbers in certificates.items()},
        "calibration": calibration(world, run.method.estimator) if entry.is_calibration_wanted else None,
        "ms_per_suggestion": 1000 * run.search_cpu_s / max(run.num_asked, 1),
        "cpu_s": time.process_time() - began,
    }


def _columns(scores: list[Score]) -> dict[str, list[float | None]]:
    return {name: [_plain(getattr(each, name)) for each in scores] for name in Score._fields}


def _rounded(numbers: dict[str, float]) -> dict[str, float | None]:
    return {name: _plain(value) for name, value in numbers.items()}


def _plain(value: float) -> float | None:
    """Return a number as JSON can hold it: None for NaN, five decimals."""
    return None if np.isnan(value) else round(float(value), 5)
