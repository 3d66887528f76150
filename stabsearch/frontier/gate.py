"""Whether a configuration lies inside the safe region of a frontier, and what would bring it there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from stabsearch.frontier.frontier import Frontier
from stabsearch.frontier.verdict import ContextVerdict
from stabsearch.records import Context
from stabsearch.records.hyperparameters import IN_CONTEXT, Value

_ROUNDING = 1e-12  # decades; the logarithm of a learning rate that stands exactly on a limit


class Standing(StrEnum):
    """Where a configuration stands."""

    INSIDE = "inside"
    """At or below what ``recommend`` would go up to in its context."""
    TOO_RISKY = "too_risky"
    """Above the frontier more likely than not, or at or above a learning rate that failed."""
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"
    """The trials show neither that it is safe nor that it is not."""


@dataclass(frozen=True)
class Judged:
    """What a frontier says of one configuration; learning rates inside the range that was searched."""

    context: Context
    learning_rate: float
    standing: Standing
    reason: str
    """Why it is not inside, or what being inside leans on; may be empty."""
    safe: float | None
    """Highest learning rate that counts as safe in this context; None: none can be named."""
    lr_low: float
    """Lower end of the credible interval of the frontier; NaN: no learning rate is safe."""
    lr_high: float
    """Upper end of it."""
    failure_probability: float
    """Posterior mean probability of failing within the horizon of the trials."""
    probability_low: float
    probability_high: float
    num_trials: int
    """Trials of this context that are evidence."""
    num_failed: int


@dataclass(frozen=True)
class Change:
    """The same configuration with one setting changed."""

    name: str
    """A hyperparameter."""
    value: Value
    judged: Judged


@dataclass(frozen=True)
class Gated:
    """A configuration and its neighbours."""

    judged: Judged
    changes: tuple[Change, ...]
    """Every context of the sweep that differs in one setting, at the same learning rate."""

    @property
    def cures(self) -> tuple[Change, ...]:
        """Return the changes that bring the configuration inside as it is."""
        return tuple(change for change in self.changes if change.judged.standing is Standing.INSIDE)

    @property
    def raises(self) -> tuple[Change, ...]:
        """Return the changes after which the safe learning rate is higher, but not high enough."""
        here = self.judged.safe or 0.0
        return tuple(
            change for change in self.changes
            if change.judged.standing is not Standing.INSIDE and (change.judged.safe or 0.0) > here
        )  # fmt: skip


def gate(frontier: Frontier, context: Context, learning_rate: float) -> Gated:
    """Return where a configuration stands at the frontier's risk, and where one change would put it.

    Args:
        frontier: at the risk that is asked about.
        context: one of its contexts.
        learning_rate: peak, above 0.

    Raises:
        ValueError: no trials were planned for this context.
    """
    known = [each.context for each in frontier.trials]
    judged = judge(frontier, known.index(context), learning_rate)
    changes = (
        Change(name, getattr(other, name), judge(frontier, position, learning_rate))
        for position, other in enumerate(known)
        for name in _only_difference(context, other)
    )
    return Gated(judged, tuple(changes))


def _only_difference(context: Context, other: Context) -> Iterator[str]:
    differing = [row.name for row in IN_CONTEXT if getattr(context, row.name) != getattr(other, row.name)]
    if len(differing) == 1 and getattr(other, differing[0]) is not None:
        yield differing[0]


def judge(frontier: Frontier, position: int, learning_rate: float) -> Judged:
    """Return what the frontier says of a learning rate in one context, by row of ``table``."""
    x = math.log10(learning_rate)
    row, trials, limit = frontier.rows[position], frontier.trials[position], frontier.limits[position]
    mean, low, high = frontier.failure(position, x)
    safe = None if isinstance(limit, str) else frontier.readable(10.0**limit)
    standing, reason = _standing(frontier, position, x, low)
    return Judged(
        trials.context, learning_rate, standing, reason, safe, row.lr_low, row.lr_high, mean, low, high,
        row.num_trials, row.num_failed,
    )  # fmt: skip


def _standing(frontier: Frontier, position: int, x: float, probability_low: float) -> tuple[Standing, str]:
    limit, searched = frontier.limits[position], frontier.searched
    if not isinstance(limit, str) and x <= limit + _ROUNDING:
        is_below = x < searched.low - _ROUNDING
        return Standing.INSIDE, "below every learning rate that was tried" if is_below else ""
    if against := _against(frontier, position, x, probability_low):
        return Standing.TOO_RISKY, against
    if isinstance(limit, str):
        return Standing.NOT_ENOUGH_EVIDENCE, limit
    if x > searched.high + _ROUNDING:
        return Standing.NOT_ENOUGH_EVIDENCE, "above every learning rate that was tried"
    return Standing.NOT_ENOUGH_EVIDENCE, "inside the interval of the frontier: more likely safe than not"


def _against(frontier: Frontier, position: int, x: float, probability_low: float) -> str:
    """Return what speaks against a learning rate; empty when nothing does."""
    row, trials = frontier.rows[position], frontier.trials[position]
    if row.verdict == ContextVerdict.NO_STABLE_REGION:
        return str(frontier.limits[position])
    if x >= trials.lowest_failed - _ROUNDING:
        return f"a trial failed at {10.0**trials.lowest_failed:.2g}"
    if probability_low > frontier.max_failure_probability:
        return "it fails too often all over the credible interval"
    is_past_all = row.verdict == ContextVerdict.STABLE_TO_TOP and x > frontier.searched.high
    if not is_past_all and 10.0**x > row.lr_safe:  # NaN where none is named
        return "more likely than not it lies above the frontier"
    return ""
