"""What every report shows, as plain numbers taken from the trials and the frontier."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from stabsearch.config import Sweep
from stabsearch.frontier import Answer, Frontier
from stabsearch.frontier.bridges import at_base_horizon, base_horizon, is_bridge
from stabsearch.records import PRECISIONS, Cause, Context, Outcome, Stage, TrialRecord

MANY_SURVIVORS = 2  # chosen: one survivor above a failure is what a shallow boundary looks like


@dataclass(frozen=True)
class ContextRow:
    """One context of the frontier; None where there is no such learning rate."""

    context: Context
    lr_safe: float | None
    lr_low: float | None
    lr_high: float | None
    num_trials: int
    num_failed: int
    verdict: str
    is_non_monotone: bool = False


def frontier_rows(frontier: Frontier | None) -> tuple[ContextRow, ...]:
    """Return the rows of ``Frontier.table``, ordered by precision, warmup and clip norm."""
    if frontier is None:
        return ()
    rows = [
        ContextRow(
            Context(str(row["precision"]), int(row["warmup_steps"]), float(row["max_grad_norm"])),
            lr_safe=_number(row["lr_safe"]),
            lr_low=_number(row["lr_low"]),
            lr_high=_number(row["lr_high"]),
            num_trials=int(row["num_trials"]),
            num_failed=int(row["num_failed"]),
            verdict=str(row["verdict"]),
            is_non_monotone=bool(row["non_monotone"]),
        )
        for row in frontier.table.to_dict("records")
    ]
    return tuple(sorted(rows, key=lambda row: context_order(row.context)))


PRECISION_ORDER: dict[str, int] = {precision: place for place, precision in enumerate(PRECISIONS)}


def context_order(context: Context) -> tuple[int, str, int, float]:
    """Return a sorting key: precision from exact to coarse, then warmup, then clip norm."""
    place = PRECISION_ORDER.get(context.precision, len(PRECISIONS))
    return place, context.precision, context.warmup_steps, context.max_grad_norm


def _number(value: object) -> float | None:
    number = float(value) if isinstance(value, (int, float)) else math.nan
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class Cost:
    """What the trials cost."""

    steps: int
    """Optimizer steps over all trials."""
    train_s: float
    startup_s: float
    span_s: float
    """Seconds from the first start to the last end; 0.0 without trials."""

    @property
    def training_share(self) -> float:
        """Return the share of worker time spent in training steps; NaN when nothing was timed."""
        total = self.train_s + self.startup_s
        return self.train_s / total if total else math.nan


@dataclass(frozen=True)
class Findings:
    """A finished or stopped sweep, with everything a report derives from it."""

    sweep: Sweep
    records: tuple[TrialRecord, ...]
    """In trial order."""
    frontier: Frontier
    answer: Answer
    command: str = ""
    """What was typed to get here."""
    versions: Mapping[str, str] = field(default_factory=dict)
    diagnosis: Mapping[str, Any] | None = None
    """Why nothing safe was found, as ``diagnosis.json`` holds it."""

    @classmethod
    def of(
        cls,
        sweep: Sweep,
        records: Sequence[TrialRecord],
        frontier: Frontier,
        answer: Answer,
        *,
        command: str = "",
        versions: Mapping[str, str] | None = None,
        diagnosis: Mapping[str, Any] | None = None,
    ) -> Findings:
        """Return findings with the trials in order."""
        ordered = tuple(sorted(records, key=lambda record: record.plan.number))
        return cls(sweep, ordered, frontier, answer, command, versions or {}, diagnosis)

    @cached_property
    def rows(self) -> tuple[ContextRow, ...]:
        """Return the frontier table."""
        return frontier_rows(self.frontier)

    @cached_property
    def contexts(self) -> tuple[Context, ...]:
        """Return the contexts to show: those of the frontier, else those that trials ran in."""
        return tuple(row.context for row in self.rows) or tuple(
            sorted({record.plan.context for record in self.counted}, key=context_order)
        )

    @cached_property
    def counted(self) -> tuple[TrialRecord, ...]:
        """Return every trial but the ramps, which are no evidence whatever their outcome."""
        return tuple(record for record in self.records if record.plan.stage is not Stage.RAMP)

    @cached_property
    def ramps(self) -> tuple[TrialRecord, ...]:
        """Return the learning-rate ramps."""
        return tuple(record for record in self.records if record.plan.stage is Stage.RAMP)

    @cached_property
    def outcomes(self) -> dict[Outcome, int]:
        """Return how many trials ended in each way that occurred, in the order of ``Outcome``."""
        counts = Counter(record.outcome for record in self.counted)
        return {outcome: counts[outcome] for outcome in Outcome if counts[outcome]}

    @cached_property
    def causes(self) -> dict[tuple[Outcome, Cause], int]:
        """Return how many trials of each outcome had each cause, most frequent first."""
        pairs = ((record.outcome, record.cause) for record in self.counted)
        counts = Counter((outcome, cause) for outcome, cause in pairs if cause is not None)
        return dict(counts.most_common())

    @cached_property
    def num_failed(self) -> int:
        """Return how many trials failed because of their hyperparameters."""
        return sum(record.outcome.is_failure for record in self.counted)

    @cached_property
    def num_silent(self) -> int:
        """Return how many trials say nothing about stability."""
        return sum(not record.is_evidence for record in self.counted)

    def is_bridge(self, record: TrialRecord) -> bool:
        """Return whether a trial went on past the horizon of the others."""
        return is_bridge(record.plan, self._base_horizon)

    @cached_property
    def _base_horizon(self) -> int:
        return base_horizon([record.plan for record in self.records])

    @cached_property
    def failed_below(self) -> frozenset[int]:
        """Return the trials behind a non-monotone flag: failed below two or more that survived."""
        flagged = [row for row in self.rows if row.is_non_monotone]
        return frozenset(
            number for row in flagged for number in _failed_below(self.of_context(row.context), row.lr_safe)
        )

    @cached_property
    def cost(self) -> Cost:
        """Return what the trials cost."""
        timed = [record for record in self.records if record.started_at > 0]
        ends = [record.started_at + record.startup_s + record.train_s for record in timed]
        begun = min((record.started_at for record in timed), default=0.0)
        return Cost(
            steps=sum(record.steps for record in self.records),
            train_s=math.fsum(record.train_s for record in self.records),
            startup_s=math.fsum(record.startup_s for record in self.records),
            span_s=max(ends, default=0.0) - begun,
        )

    @cached_property
    def environment(self) -> dict[str, str]:
        """Return versions and machines; several machines of one kind are listed together."""
        seen: dict[str, set[str]] = {}
        for record in self.records:
            for key, value in record.machine.items():
                seen.setdefault(key, set()).add(value)
        machines = {key: ", ".join(sorted(values)) for key, values in sorted(seen.items())}
        return {**machines, **self.versions}

    def of_context(self, context: Context) -> tuple[TrialRecord, ...]:
        """Return the trials of one context as the frontier sees them, in trial order.

        Without ramps, and bridge trials as they stood at the horizon of the others.
        """
        return self._by_context.get(context, ())

    @cached_property
    def _by_context(self) -> dict[Context, tuple[TrialRecord, ...]]:
        groups: dict[Context, list[TrialRecord]] = {}
        for record in at_base_horizon(self.counted, self.sweep.outcomes):
            groups.setdefault(record.plan.context, []).append(record)
        return {context: tuple(group) for context, group in groups.items()}


def _failed_below(trials: Sequence[TrialRecord], frontier: float | None) -> list[int]:
    """Return which failed trials of a context lie below its frontier and at least two survivors."""
    survived = sorted(trial.plan.learning_rate for trial in trials if trial.outcome is Outcome.STABLE)
    if len(survived) < MANY_SURVIVORS:
        return []
    ceiling = min(survived[-MANY_SURVIVORS], frontier or math.inf)
    return [t.plan.number for t in trials if t.outcome.is_failure and t.plan.learning_rate < ceiling]
