"""The order of a sweep: canary, search, confirmation; what runs next follows from the study alone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from stabsearch.errors import UserError
from stabsearch.frontier.bridges import at_base_horizon
from stabsearch.frontier.confirming import Confirming, certificate_of
from stabsearch.frontier.fit import fit_records
from stabsearch.frontier.hints import ramp_hints
from stabsearch.frontier.rounds import Round, rounds
from stabsearch.frontier.stopping import SearchEnd, Stopping, is_searching, search_end
from stabsearch.records import Cause, Context, Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.search.canary import baseline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stabsearch.config import Sweep
    from stabsearch.frontier import Frontier
    from stabsearch.frontier.hints import PriorHint
    from stabsearch.search.study import SweepStudy

NEVER_TRAINED = frozenset({Outcome.CRASHED, Outcome.OOM, Outcome.LOST})
RUNS_PER_TRIAL = 10  # chosen: interrupts are no fault of a trial's, but one may take its driver's memory
NODES_PER_TRIAL = 10  # chosen: spot nodes come and go, but a trial that takes its node with it is given up
CRASHES_IN_A_ROW = 3  # chosen: three trials that never trained are a fault of the set-up


@dataclass(frozen=True)
class Stages:
    """How a budget is spent."""

    trials: int
    """Trials in all."""
    confirming: Confirming
    """How a candidate is confirmed."""

    @property
    def reserved(self) -> int:
        """Return how many trials are kept for confirmation: never more than half of the budget."""
        return min(self.confirming.most_trials, self.trials // 2)

    @property
    def searched(self) -> int:
        """Return how many trials the search may take, canary included."""
        return self.trials - self.reserved


def hints_of(
    sweep: Sweep, known: Sequence[PriorHint], records: Sequence[TrialRecord]
) -> tuple[PriorHint, ...]:
    """Return all that is known beforehand of frontiers: what was before the sweep, and its ramps."""
    return *known, *ramp_hints(records, sweep.outcomes)


def fitted(
    sweep: Sweep, contexts: Sequence[Context], records: Sequence[TrialRecord],
    hints: Sequence[PriorHint] = (),
) -> Frontier:  # fmt: skip
    """Return the frontier that a sweep's records show, one row per searched context.

    Bridge trials count as they stood at the horizon of the others; ramps are no evidence.
    """
    rates = sweep.search.learning_rate
    seen = at_base_horizon(records, sweep.outcomes)
    return fit_records(
        seen,
        max_failure_probability=sweep.risk.max_failure_probability,
        learning_rate_range=(rates.low, rates.high),
        confidence=sweep.risk.confidence,
        contexts=contexts,
        hints=hints,
    )


def stopping_of(sweep: Sweep, stages: Stages) -> Stopping:
    """Return how long a sweep's search goes on."""
    search = sweep.search
    return Stopping(search.goal, search.tolerance, stages.searched, sweep.budget.wall_clock, sweep.outcomes)


class Campaign:
    """A source of trials for a driver; whatever was interrupted goes on where it was.

    Args:
        study: where plans and records are kept.
        sweep: what is searched.
        contexts: the searched contexts, warmups in optimizer steps.
        stages: how the budget is spent.
        on_started, on_finished: told of each trial, for views and trackers.
        lack: says why nothing more may be started, such as a full disk; None while there is room.
        clock: seconds, monotonic.
        hints: what is known of frontiers before the sweep.
    """

    def __init__(
        self, study: SweepStudy, sweep: Sweep, contexts: Sequence[Context], stages: Stages,
        *, on_started: Callable[[TrialPlan], None], on_finished: Callable[[TrialRecord], None],
        lack: Callable[[], UserError | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic, hints: Sequence[PriorHint] = (),
    ) -> None:  # fmt: skip
        self._study, self._sweep, self._contexts, self._stages = study, sweep, tuple(contexts), stages
        self._on_started, self._on_finished = on_started, on_finished
        self._lack, self._lacking = lack, lack()
        self._clock, self._began, self._known = clock, clock(), tuple(hints)
        self._waiting = deque(study.unfinished())
        self._in_flight: dict[int, TrialPlan] = {}
        self._seen: deque[TrialRecord] = deque(maxlen=CRASHES_IN_A_ROW)
        self._canaries: list[TrialRecord] = []
        known = study.raw_records
        self._last_canary = max((r.plan.number for r in known if r.plan.stage is Stage.CANARY), default=None)
        self._has_data_fault = any(record.outcome is Outcome.DATA_FAULT for record in known)
        self._num_searched = sum(is_searching(record.plan) for record in known)
        self._judged: tuple[int, SearchEnd | None] | None = None  # by number of search trials: it says it all

    @property
    def problem(self) -> UserError | None:
        """Return why the sweep cannot go on, None when it can: trials that never train, or no room on disk.

        Only this campaign's own trials count: whoever starts a stopped sweep again has put
        something right.
        """
        broken = self._broken()
        if broken is None:
            return self._lacking
        batch = "search" if "per_device_train_batch_size" in self._sweep.search.further else "training"
        hint = (
            f"lower {batch}.per_device_train_batch_size or task.max_length"
            if broken.outcome is Outcome.OOM
            else "run it with resources.driver: inline to see it under a debugger"
        )
        return UserError(f"trials do not run: {broken.message}", hint)

    def _broken(self) -> TrialRecord | None:
        """Return the trial by which it is clear that trials do not run."""
        crashes = [record for record in self._seen if record.outcome in {Outcome.CRASHED, Outcome.OOM}]
        if len(crashes) == CRASHES_IN_A_ROW:
            return crashes[-1]
        return next((record for record in self._canaries if record.outcome in NEVER_TRAINED), None)

    def frontier(self) -> Frontier:
        """Return the frontier as the records show it now."""
        return fitted(self._sweep, self._contexts, self._study.records, self._hints())

    def _hints(self) -> tuple[PriorHint, ...]:
        return hints_of(self._sweep, self._known, self._study.raw_records)

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
        plan = self._begun() or self._proposed()
        if plan is None:
            return None
        self._in_flight[plan.number] = plan
        self._study.count_start(plan.number)
        self._on_started(plan)
        return plan

    def _begun(self) -> TrialPlan | None:
        """Return the next trial that was started before; what keeps ending whole runs is given up."""
        while self._waiting:
            plan = self._waiting.popleft()
            ended = self._study.unended_starts(plan.number)
            if ended < RUNS_PER_TRIAL:
                return plan
            message = f"the whole run ended while it ran, {ended} times"
            self.finished(
                TrialRecord(plan, Outcome.LOST, cause=Cause.UNKNOWN, message=message, started_at=time.time())
            )
        return None

    def most_left(self) -> int:
        """Return how many trials the budget still holds beside those in flight; 0 once it is over."""
        if self._is_over():
            return 0
        return self._stages.trials - len(self._study.raw_records) - len(self._in_flight)

    def finished(self, record: TrialRecord) -> None:
        """Take the record of a trial; a second one for the same plan is dropped."""
        self._in_flight.pop(record.plan.number, None)
        record = replace(record, attempts=self._study.starts(record.plan.number))
        if self._study.tell(record):
            self._take_note(record)
            self._on_finished(self._study.labelled(record.plan.number))

    def _take_note(self, record: TrialRecord) -> None:
        """Keep what later decisions need of a trial, so that none of them goes through all trials."""
        self._seen.append(record)
        self._has_data_fault |= record.outcome is Outcome.DATA_FAULT
        self._num_searched += is_searching(record.plan)
        if record.plan.stage is Stage.CANARY:
            self._canaries.append(record)
            self._last_canary = max(record.plan.number, self._last_canary or 0)

    def lost(self, plan: TrialPlan, reason: str, *, by_node: bool = False) -> None:
        """Start a plan again whose worker went away, or give it up after the last attempt.

        Only what the trial itself may have caused uses up ``budget.trial_attempts``: not the end of this
        process, and not that of a node, unless nodes keep dying under one trial.
        """
        self._in_flight.pop(plan.number, None)
        losses = self._study.count_loss(plan.number, by_node=by_node)
        if losses < (NODES_PER_TRIAL if by_node else self._sweep.budget.trial_attempts):
            self._waiting.append(plan)
            return
        message = f"{reason}, {losses} times"
        self.finished(
            TrialRecord(plan, Outcome.LOST, cause=Cause.UNKNOWN, message=message, started_at=time.time())
        )

    def _is_over(self) -> bool:
        limit = self._sweep.budget.wall_clock
        if limit is not None and self._clock() - self._began > limit:
            return True
        self._lacking = self._lacking or self._lack()
        return self._has_data_fault or self.problem is not None

    def _proposed(self) -> TrialPlan | None:
        records = self._study.records
        spent = len(records) + len(self._in_flight)
        canary = None if self._last_canary is None else self._study.labelled(self._last_canary)
        if canary is None or canary.outcome in NEVER_TRAINED:
            return self._next_canary(spent)
        if canary.outcome.is_failure or spent >= self._stages.trials:
            return None
        if self._sweep.search.prior.ramp and self._is_ramping(records):
            return self._next_ramp(records)
        return self._searched(records, spent)

    def _searched(self, records: list[TrialRecord], spent: int) -> TrialPlan | None:
        """Return the next trial of the search; of the confirmation once it is over."""
        end = self._search_end(records)
        if end is SearchEnd.NOTHING_STABLE:
            return None
        if spent < self._stages.searched and (end is None or self._lacks_a_candidate(records)):
            return self._study.ask()
        return self._confirming(records)

    def _lacks_a_candidate(self, records: Sequence[TrialRecord]) -> bool:
        """Return whether there is nothing to confirm yet: a search without an answer goes on."""
        plans = [*(record.plan for record in records), *self._in_flight.values()]
        if not self._stages.confirming.required or any(plan.stage is Stage.CONFIRM for plan in plans):
            return False
        return self.frontier().recommend() is None

    def _search_end(self, records: Sequence[TrialRecord]) -> SearchEnd | None:
        if self._judged is None or self._judged[0] != self._num_searched:
            fit_to = partial(fitted, self._sweep, self._contexts, hints=self._hints())
            stopping = stopping_of(self._sweep, self._stages)
            self._judged = self._num_searched, search_end(records, self._contexts, stopping, fit_to)
        return self._judged[1]

    def _next_canary(self, spent: int) -> TrialPlan | None:
        """Return the first trial of all; nothing runs beside it."""
        if self._in_flight or spent >= self._stages.trials:
            return None
        return self._study.ask_fixed(*baseline(self._sweep, self._contexts), Stage.CANARY)

    def _is_ramping(self, records: Sequence[TrialRecord]) -> bool:
        """Return whether a precision's ramp has not ended yet; the search begins where they point."""
        return len({r.plan.precision for r in records if r.plan.stage is Stage.RAMP}) < len(self._precisions)

    def _next_ramp(self, records: Sequence[TrialRecord]) -> TrialPlan | None:
        """Return the ramp of a precision that has none, without warmup, the rest as first listed."""
        plans = [*(record.plan for record in records), *self._in_flight.values()]
        begun = {plan.precision for plan in plans if plan.stage is Stage.RAMP}
        left = [precision for precision in self._precisions if precision not in begun]
        if not left:
            return None
        search = self._sweep.search
        further = {name: values[0] for name, values in search.further.items()}
        first = {"precision": left[0], "warmup_steps": 0, "max_grad_norm": search.max_grad_norm[0], **further}
        context = Context.of(first)
        return self._study.ask_ramp(context, search.learning_rate.low, search.learning_rate.high)

    @property
    def _precisions(self) -> list[str]:
        return list(dict.fromkeys(context.precision for context in self._contexts))

    def _confirming(self, records: list[TrialRecord]) -> TrialPlan | None:
        """Return the next trial on the candidate; a candidate that failed is replaced."""
        in_flight = list(self._in_flight.values())
        is_searching = any(plan.stage is not Stage.CONFIRM for plan in in_flight)
        if is_searching or not self._stages.confirming.required:
            return None
        so_far = rounds(records, in_flight, self._sweep.outcomes)
        latest = so_far[-1] if so_far else None
        if latest is None or not latest.is_open:
            return None if in_flight else self._new_candidate(so_far)
        return self._one_more(latest, records)

    def _one_more(self, latest: Round, records: Sequence[TrialRecord]) -> TrialPlan | None:
        """Return one more fresh seed, or a bridge trial once enough of them have survived."""
        rules = self._sweep.outcomes
        seen = at_base_horizon(records, rules)
        needed = certificate_of(latest, seen, self.frontier(), self._stages.confirming, rules).required
        if latest.survived + latest.running < needed:
            confirms = latest.learning_rate if latest.is_stressed else None
            return self._study.ask_fixed(latest.context, latest.tested, Stage.CONFIRM, confirms=confirms)
        is_passed = latest.survived >= needed
        return self._next_bridge(latest) if is_passed else None

    def _next_bridge(self, latest: Round) -> TrialPlan | None:
        confirming = self._stages.confirming
        if latest.bridged + latest.broke_later + latest.bridging >= confirming.bridge_trials:
            return None
        return self._study.ask_fixed(
            latest.context, latest.learning_rate, Stage.CONFIRM, horizon=confirming.bridge_horizon
        )

    def _new_candidate(self, so_far: Sequence[Round]) -> TrialPlan | None:
        """Return the first trial on a candidate; without one the search goes on, unless too many failed."""
        confirming = self._stages.confirming
        if sum(not each.is_open for each in so_far) >= confirming.max_rounds:
            return None
        best = self.frontier().recommend()
        tried = {(each.context, each.learning_rate) for each in so_far}
        if best is None or (best.context, best.learning_rate) in tried:
            return self._study.ask()
        rate = confirming.tested_rate(best, self._sweep.search.learning_rate.high)
        confirms = best.learning_rate if rate > best.learning_rate else None
        return self._study.ask_fixed(best.context, rate, Stage.CONFIRM, confirms=confirms)
