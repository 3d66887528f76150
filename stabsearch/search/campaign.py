"""The order of a sweep: canary, search, confirmation; what runs next follows from the study alone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stabsearch.errors import UserError
from stabsearch.frontier.fit import fit
from stabsearch.frontier.rounds import Round, last_round
from stabsearch.records import Cause, Context, Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.records.frame import trials_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stabsearch.config import Sweep
    from stabsearch.frontier import Frontier
    from stabsearch.search.study import SweepStudy

BASELINE_LEARNING_RATE = 2e-5  # the usual fine-tuning rate of BERT-like models (Devlin et al. 2019)
NEVER_TRAINED = frozenset({Outcome.CRASHED, Outcome.OOM, Outcome.LOST})
CRASHES_IN_A_ROW = 3  # chosen: three trials that never trained are a fault of the set-up


@dataclass(frozen=True)
class Stages:
    """How a budget is spent."""

    trials: int
    """Trials in all."""
    required: int
    """Fresh seeds that a confirmation needs."""

    @property
    def reserved(self) -> int:
        """Return how many trials are kept for confirmation: never more than half of the budget."""
        return min(self.required, self.trials // 2)


def fitted(sweep: Sweep, contexts: Sequence[Context], records: Sequence[TrialRecord]) -> Frontier:
    """Return the frontier that a sweep's records show, one row per searched context."""
    rates = sweep.search.learning_rate
    return fit(
        trials_frame(record for record in records if record.plan.context in contexts),
        max_failure_probability=sweep.risk.max_failure_probability,
        learning_rate_range=(rates.low, rates.high),
        confidence=sweep.risk.confidence,
        contexts=contexts,
    )


class Campaign:
    """A source of trials for a driver; whatever was interrupted goes on where it was.

    Args:
        study: where plans and records are kept.
        sweep: what is searched.
        contexts: the searched contexts, warmups in optimizer steps.
        stages: how the budget is spent.
        on_started, on_finished: told of each trial, for views and trackers.
        clock: seconds, monotonic.
    """

    def __init__(
        self, study: SweepStudy, sweep: Sweep, contexts: Sequence[Context], stages: Stages,
        *, on_started: Callable[[TrialPlan], None], on_finished: Callable[[TrialRecord], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._study, self._sweep, self._contexts, self._stages = study, sweep, tuple(contexts), stages
        self._on_started, self._on_finished = on_started, on_finished
        self._clock, self._began = clock, clock()
        self._waiting = deque(study.unfinished())
        self._in_flight: dict[int, TrialPlan] = {}
        self._seen: list[TrialRecord] = []

    @property
    def problem(self) -> UserError | None:
        """Return why the sweep cannot go on, None when it can: trials that never train.

        Only this campaign's own trials count: whoever starts a stopped sweep again has put
        something right.
        """
        broken = self._broken()
        if broken is None:
            return None
        hint = (
            "lower training.per_device_train_batch_size or task.max_length"
            if broken.outcome is Outcome.OOM
            else "run it with resources.driver: inline to see it under a debugger"
        )
        return UserError(f"trials do not run: {broken.message}", hint)

    def _broken(self) -> TrialRecord | None:
        """Return the trial by which it is clear that trials do not run."""
        last = self._seen[-CRASHES_IN_A_ROW:]
        crashes = [record for record in last if record.outcome in {Outcome.CRASHED, Outcome.OOM}]
        if len(crashes) == CRASHES_IN_A_ROW:
            return crashes[-1]
        canaries = [record for record in self._seen if record.plan.stage is Stage.CANARY]
        return next((record for record in canaries if record.outcome in NEVER_TRAINED), None)

    def frontier(self) -> Frontier:
        """Return the frontier as the records show it now."""
        return fitted(self._sweep, self._contexts, self._study.records)

    def has_work(self) -> bool:
        """Return whether anything is left to run, without starting it."""
        if not self._waiting and not self._is_over():
            plan = self._proposed()
            self._waiting.extend([plan] if plan else [])
        return bool(self._waiting) and not self._is_over()

    def next_plan(self) -> TrialPlan | None:
        """Return the next trial to start, None when there is none now."""
        if self._is_over():
            return None
        plan = self._waiting.popleft() if self._waiting else self._proposed()
        if plan is None:
            return None
        self._in_flight[plan.number] = plan
        self._study.count_start(plan.number)
        self._on_started(plan)
        return plan

    def finished(self, record: TrialRecord) -> None:
        """Take the record of a trial; a second one for the same plan is dropped."""
        self._in_flight.pop(record.plan.number, None)
        record = replace(record, attempts=self._study.starts(record.plan.number))
        if self._study.tell(record):
            self._seen.append(record)
            self._on_finished(self._study.labelled(record.plan.number))

    def lost(self, plan: TrialPlan, reason: str) -> None:
        """Start a plan again whose worker went away, or give it up after the last attempt."""
        self._in_flight.pop(plan.number, None)
        attempts = self._study.starts(plan.number)
        if attempts < self._sweep.budget.trial_attempts:
            self._waiting.append(plan)
            return
        message = f"{reason}, {attempts} times"
        self.finished(
            TrialRecord(plan, Outcome.LOST, cause=Cause.UNKNOWN, message=message, started_at=time.time())
        )

    def _is_over(self) -> bool:
        limit = self._sweep.budget.wall_clock
        if limit is not None and self._clock() - self._began > limit:
            return True
        faults = any(record.outcome is Outcome.DATA_FAULT for record in self._study.raw_records)
        return faults or self.problem is not None

    def _proposed(self) -> TrialPlan | None:
        records = self._study.records
        spent = len(records) + len(self._in_flight)
        canary = next((r for r in reversed(records) if r.plan.stage is Stage.CANARY), None)
        if canary is None or canary.outcome in NEVER_TRAINED:
            return self._next_canary(spent)
        if canary.outcome.is_failure:
            return None
        if spent < self._stages.trials - self._stages.reserved:
            return self._study.ask()
        return self._confirming(records) if spent < self._stages.trials else None

    def _next_canary(self, spent: int) -> TrialPlan | None:
        """Return the first trial of all; nothing runs beside it."""
        if self._in_flight or spent >= self._stages.trials:
            return None
        return self._study.ask_fixed(*self._baseline(), Stage.CANARY)

    def _confirming(self, records: list[TrialRecord]) -> TrialPlan | None:
        """Return the next trial on the candidate; a candidate that failed is replaced."""
        in_flight = list(self._in_flight.values())
        if any(plan.stage is not Stage.CONFIRM for plan in in_flight):
            return None
        latest = last_round(records, in_flight)
        if latest is None or (not latest.is_open and not latest.running):
            return self._new_candidate()
        return self._one_more(latest)

    def _one_more(self, latest: Round) -> TrialPlan | None:
        enough = latest.survived + latest.running >= self._stages.required
        if enough or not latest.is_open:
            return None
        return self._study.ask_fixed(latest.context, latest.learning_rate, Stage.CONFIRM)

    def _new_candidate(self) -> TrialPlan:
        recommendation = self.frontier().recommend() if self._stages.required else None
        if recommendation is None:
            return self._study.ask()
        return self._study.ask_fixed(recommendation.context, recommendation.learning_rate, Stage.CONFIRM)

    def _baseline(self) -> tuple[Context, float]:
        """Return the conservative baseline: fp32, a usual learning rate, longest warmup, clip 1.

        Where the whole range lies below the usual rate, its low end is the gentler one.
        """
        rates = self._sweep.search.learning_rate
        warmup = max(context.warmup_steps for context in self._contexts)
        gentle = BASELINE_LEARNING_RATE if rates.high >= BASELINE_LEARNING_RATE else rates.low
        return Context("fp32", warmup, 1.0), gentle
