"""What every report shows, as plain numbers taken from the trials and the frontier."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from stabsearch.config import Sweep
from stabsearch.frontier import Answer, Frontier
from stabsearch.frontier.bridges import at_base_horizon, base_horizon, is_bridge
from stabsearch.records import Cause, Context, Outcome, Stage, TrialRecord
from stabsearch.report.calibration import Calibration, calibration_of
from stabsearch.report.grid_cost import GridCost, grid_cost

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
    """Return the rows of a frontier, ordered by precision, warmup, clip norm and what else is searched."""
    if frontier is None:
        return ()
    rows = [
        ContextRow(
            row.context,
            lr_safe=_finite(row.lr_safe),
            lr_low=_finite(row.lr_low),
            lr_high=_finite(row.lr_high),
            num_trials=row.num_trials,
            num_failed=row.num_failed,
            verdict=row.verdict,
            is_non_monotone=row.non_monotone,
        )
        for row in frontier.rows
    ]
    return tuple(sorted(rows, key=lambda row: row.context.order))


def _finite(number: float) -> float | None:
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
    between_s: float = 0.0
    """Seconds from a trial's end to the next start in the same worker: explaining a failure, and waiting."""

    @property
    def worker_s(self) -> float:
        """Return the seconds of all workers, each from its first trial's start to its last trial's end."""
        return self.train_s + self.startup_s + self.between_s

    @property
    def training_share(self) -> float:
        """Return the share of worker time spent in training steps; NaN when nothing was timed."""
        return self.share(self.train_s)

    def share(self, seconds: float) -> float:
        """Return what share of worker time some seconds are; NaN when nothing was timed."""
        return seconds / self.worker_s if self.worker_s else math.nan


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
    bundles: frozenset[str] = frozenset()
    """Names of the folders that there are below ``bad_batches/``."""

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
        bundles: frozenset[str] = frozenset(),
    ) -> Findings:
        """Return findings with the trials in order."""
        ordered = tuple(sorted(records, key=lambda record: record.plan.number))
        return cls(sweep, ordered, frontier, answer, command, versions or {}, diagnosis, bundles)

    @cached_property
    def rows(self) -> tuple[ContextRow, ...]:
        """Return the frontier table."""
        return frontier_rows(self.frontier)

    @cached_property
    def contexts(self) -> tuple[Context, ...]:
        """Return the contexts to show: those of the frontier, else those that trials ran in."""
        return tuple(row.context for row in self.rows) or tuple(
            sorted({record.plan.context for record in self.counted}, key=lambda context: context.order)
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
    def is_evaluated(self) -> bool:
        """True when a trial has a loss on held-out rows."""
        return any(math.isfinite(record.eval_loss) for record in self.records)

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
            between_s=_between_s(timed),
        )

    @cached_property
    def grid_cost(self) -> GridCost | None:
        """Return what an even grid of the same resolution would have cost; None without a frontier."""
        return grid_cost(self.frontier, self.records, self.answer.horizon)

    @cached_property
    def calibration(self) -> Calibration:
        """Return how the model's failure probabilities agree with what happened."""
        return calibration_of(
            self.frontier, [record for group in self._by_context.values() for record in group]
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


def _between_s(records: Sequence[TrialRecord]) -> float:
    """Return the seconds that workers spent between trials; those that name none count nothing."""
    in_order = sorted(records, key=lambda record: (record.worker, record.started_at))
    return math.fsum(
        max(later.started_at - earlier.started_at - earlier.startup_s - earlier.train_s, 0.0)
        for earlier, later in pairwise(in_order)
        if earlier.worker == later.worker != ""
    )
