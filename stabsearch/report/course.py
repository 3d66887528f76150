"""The course of a sweep: what its events add up to, for views to show."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from threading import Lock

from stabsearch.config import Sweep
from stabsearch.records import TrialPlan, TrialRecord
from stabsearch.records.progress import Progress
from stabsearch.report.screen import Screen, Tally
from stabsearch.report.standing import Standing
from stabsearch.report.trial_table import Running

MOST_SHOWN = 40  # chosen: a tall window has room for them


class Course:
    """What has been seen of a sweep; each event costs the same, however long the sweep.

    Args:
        sweep: name, budget and learning-rate range.
        records: trials of an earlier run of the same sweep.
        clock: seconds that only grow.
    """

    def __init__(self, sweep: Sweep, records: Sequence[TrialRecord], clock: Callable[[], float]) -> None:
        self._sweep, self._clock, self._begun = sweep, clock, clock()
        self._running: dict[int, Running] = {}
        self._last: deque[TrialRecord] = deque(maxlen=MOST_SHOWN)
        self._num_finished = 0
        self.tally = Tally()
        self.standing: Standing | None = None
        for record in records:
            self.tally = self.tally.with_one(record)

    @property
    def elapsed_s(self) -> float:
        """Return the seconds of this run."""
        return self._clock() - self._begun

    @property
    def num_running(self) -> int:
        """Return how many trials run."""
        return len(self._running)

    def started(self, plan: TrialPlan) -> None:
        """Take note of a trial that was sent off."""
        self._running[plan.number] = Running(plan, self._clock())

    def progress(self, progress: Progress) -> None:
        """Take note of a running trial's step; one that has ended meanwhile stays so."""
        running = self._running.get(progress.number)
        if running is not None:
            self._running[progress.number] = replace(running, progress=progress)

    def finished(self, record: TrialRecord) -> None:
        """Take note of a trial's end."""
        self._running.pop(record.plan.number, None)
        self._last.appendleft(record)
        self._num_finished += 1
        self.tally = self.tally.with_one(record)

    def running(self, most: int = MOST_SHOWN) -> tuple[Running, ...]:
        """Return the trials that have run for longest."""
        now = self._clock()
        return tuple(each.at(now) for each in islice(self._running.values(), most))

    def seconds_left(self) -> float | None:
        """Return the estimated seconds left; None before the first trial is done."""
        if not self._num_finished:
            return None
        budget = self._sweep.budget
        num_left = max(budget.trials - self.tally.done, 0)
        estimate = num_left * self.elapsed_s / self._num_finished
        limit = budget.wall_clock
        return estimate if limit is None else min(estimate, max(limit - self.elapsed_s, 0.0))

    def screen(self) -> Screen:
        """Return a picture of it as it stands."""
        sweep, searched = self._sweep, self._sweep.search.learning_rate
        return Screen(
            sweep.name, sweep.budget.trials, (searched.low, searched.high), sweep.search.tolerance,
            self.tally, self.elapsed_s, self.seconds_left(), self.num_running,
            self.running(), tuple(self._last), self.standing,
        )  # fmt: skip


class Followed:
    """What every view does that shows something: it keeps the course of a sweep.

    Events come from several threads, and what is shown is written by another: all take the lock.

    Args:
        sweep: name, budget and learning-rate range.
        records: trials of an earlier run of the same sweep.
        clock: seconds that only grow.
    """

    is_watched = True

    def __init__(self, sweep: Sweep, records: Sequence[TrialRecord], clock: Callable[[], float]) -> None:
        self._course, self._lock = Course(sweep, records, clock), Lock()

    def started(self, plan: TrialPlan) -> None:
        """Take note of a trial that was sent off; once more when it is tried again."""
        with self._lock:
            self._course.started(plan)

    def progress(self, progress: Progress) -> None:
        """Take note of the latest step of a running trial."""
        with self._lock:
            self._course.progress(progress)
