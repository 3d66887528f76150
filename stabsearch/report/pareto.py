"""Risk against loss: the configurations that no other one beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stabsearch.report.wording import counted, percent

if TYPE_CHECKING:
    from stabsearch.frontier.preference import Tried

HEADS = ("", "failure probability", "interval", "loss", "learning rate", "context", "trials")


def pareto_text(front: Sequence[Tried], max_risk: float, horizon: int) -> str:
    """Return the front as a table, the least risk first.

    Args:
        front: at least one configuration.
        max_risk: the risk that a safe one stays under.
        horizon: optimizer steps of the trials.
    """
    rows = [HEADS, *(_row(each) for each in front)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    loss = "evaluation loss" if front[0].is_evaluated else "training loss"
    told = (
        f"{counted(len(front), 'configuration')} that no other one beats in both risk and {loss}, "
        f"within {horizon} steps; ✓: shown to be within the risk of {percent(max_risk)}"
    )
    return "\n".join([told, *lines]) + "\n"


def _row(each: Tried) -> tuple[str, ...]:
    best = each.recommendation
    return (
        "✓" if each.is_safe else "",
        percent(best.failure_probability),
        f"{percent(best.probability_low)} to {percent(best.probability_high)}",
        f"{each.loss:.3g}",
        f"{best.learning_rate:.3g}",
        best.context.label,
        str(each.num_trials),
    )


def pareto_json(front: Sequence[Tried], max_risk: float, horizon: int) -> dict[str, Any]:
    """Return the front as strict JSON data."""
    rows = [
        {
            **each.recommendation.context.settings,
            "learning_rate": each.recommendation.learning_rate,
            "failure_probability": each.recommendation.failure_probability,
            "probability_low": each.recommendation.probability_low,
            "probability_high": each.recommendation.probability_high,
            "loss": each.loss,
            "loss_on": "held-out rows" if each.is_evaluated else "training rows",
            "num_trials": each.num_trials,
            "is_safe": each.is_safe,
        }
        for each in front
    ]
    return {"max_failure_probability": max_risk, "horizon": horizon, "front": rows}
