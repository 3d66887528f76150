"""Among safe configurations: which one is wanted, and what risk buys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from stabsearch.frontier.answer import Recommendation
from stabsearch.frontier.bridges import at_base_horizon
from stabsearch.frontier.frontier import Frontier
from stabsearch.frontier.recommendation import cost
from stabsearch.records import Context, Outcome, OutcomeRules, Stage, TrialRecord


class Utility(StrEnum):
    """What is wanted of a configuration beside being safe."""

    COST = "cost"
    """The cheapest precision; of equally cheap contexts the one whose learning rate may go highest."""
    LEARNING_RATE = "learning_rate"
    """The highest learning rate, whatever its context costs."""
    LOSS = "loss"
    """The lowest loss that trials came to, among configurations that were tried."""


@dataclass(frozen=True)
class Tried:
    """A configuration that trials survived."""

    recommendation: Recommendation
    """Its settings, and what the posterior says of their risk."""
    loss: float
    """On held-out rows at the horizon, where trials were evaluated; else the training loss, a mean over the
    last quarter of the trials' steps. Mean of its trials, in the units of the task's loss."""
    num_trials: int
    """Trials that survived there."""
    is_safe: bool
    """At or below what ``recommend`` would go up to in this context."""
    is_evaluated: bool = False
    """The loss is that on held-out rows."""


def tried(records: Sequence[TrialRecord], frontier: Frontier, rules: OutcomeRules) -> list[Tried]:
    """Return the configurations that trials survived, with what they had learned by the shared horizon.

    Losses on held-out rows are not comparable with training losses: where any trial was evaluated, those that
    were not are left out.

    Args:
        records: every finished trial, labelled.
        frontier: fitted to them; what lies in other contexts, or outside of its range, is left out.
        rules: by which trials are labelled.
    """
    positions = {trials.context: position for position, trials in enumerate(frontier.trials)}
    ended = at_base_horizon(records, rules)
    is_evaluated = any(math.isfinite(record.eval_loss) for record in ended)
    losses: dict[tuple[Context, float], list[float]] = {}
    for record in ended:
        is_search = record.plan.stage is not Stage.RAMP and record.outcome is Outcome.STABLE
        loss = record.eval_loss if is_evaluated else record.trace.tail_loss
        if is_search and record.plan.context in positions and math.isfinite(loss):
            losses.setdefault((record.plan.context, record.plan.learning_rate), []).append(loss)
    span, found = frontier.searched, []
    for (context, learning_rate), seen in losses.items():
        position, x = positions[context], math.log10(learning_rate)
        if not span.low <= x <= span.high:  # the canary's, which may lie below
            continue
        limit = frontier.limits[position]
        best = Recommendation(context, learning_rate, *frontier.failure(position, x))
        is_safe = not isinstance(limit, str) and x <= limit
        found.append(Tried(best, sum(seen) / len(seen), len(seen), is_safe, is_evaluated))
    return found


def pareto_front(configurations: Sequence[Tried]) -> list[Tried]:
    """Return those that no other one beats in both risk and loss, from the least risk to the least loss."""
    front: list[Tried] = []
    for each in sorted(configurations, key=lambda one: (one.recommendation.failure_probability, one.loss)):
        if not front or each.loss < front[-1].loss:
            front.append(each)
    return front


def preferred(frontier: Frontier, utility: Utility, configurations: Sequence[Tried]) -> Recommendation | None:
    """Return the safe configuration with the highest utility, None when none is known to be safe."""
    if utility is Utility.LOSS:
        safe = [each for each in configurations if each.is_safe]
        if not safe:
            return None
        best = min(safe, key=lambda each: (each.loss, -each.recommendation.learning_rate)).recommendation
        known = [trials.context for trials in frontier.trials]
        return frontier.at(known.index(best.context), best.learning_rate)
    limits = [(limit, i) for i, limit in enumerate(frontier.limits) if not isinstance(limit, str)]
    if not limits:
        return None

    def order(limit: float, position: int) -> tuple[float, float, int]:
        price = cost(frontier.rows[position].precision)
        return (price, -limit, position) if utility is Utility.COST else (-limit, price, position)

    limit, position = min(limits, key=lambda each: order(*each))
    return frontier.at(position, 10.0**limit)
