"""The picture of a frontier that stands by itself, without the sweep that its trials came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabsearch.config import Sweep
from stabsearch.frontier import Answer, Verdict
from stabsearch.report.findings import Findings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stabsearch.frontier import Frontier


def plot_frontier(frontier: Frontier) -> Figure:
    """Return the picture of a fitted frontier: failure probability, frontier and interval per context.

    As ``frontier.png`` shows it, without single trials, of which a frontier keeps no more than counts. The
    star is what ``Frontier.recommend`` gives. ``SweepResult.plot`` draws the trials as well.

    Args:
        frontier: from ``frontier.fit``, or read from ``frontier.json``.
    """
    from stabsearch.report.plot import frontier_figure

    return frontier_figure(_findings(frontier))


def _findings(frontier: Frontier) -> Findings:
    """Return what a report would know of a sweep of which nothing but the frontier is left."""
    low, high = frontier.learning_rate_range
    sweep = Sweep.model_validate(
        {
            "name": "frontier",
            "task": {"type": "quickstart"},
            "training": {"max_steps": 1},
            "search": {"learning_rate": {"low": low, "high": high}},
            "risk": {
                "max_failure_probability": frontier.max_failure_probability,
                "confidence": frontier.confidence,
            },
        }
    )
    best = frontier.recommend()
    verdict = Verdict.UNCONFIRMED if best else Verdict.NOT_ENOUGH_EVIDENCE
    return Findings.of(sweep, (), frontier, Answer(verdict, "", best, None, horizon=0, max_steps=1))
