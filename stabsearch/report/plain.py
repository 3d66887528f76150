"""A sweep that runs, as lines for a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import TextIO

from stabsearch.config import Sweep
from stabsearch.records import Context, TrialRecord
from stabsearch.report.course import Followed
from stabsearch.report.frontier_text import those_that_matter
from stabsearch.report.standing import Standing
from stabsearch.report.terminal import row_line
from stabsearch.report.trial_table import running_line
from stabsearch.report.wording import counted, duration, ended, printable

STANDS_EVERY_S = 30.0  # chosen: a log of an hour has a hundred such blocks at most
SILENT_FOR_S = 60.0  # chosen: after it a reader wonders whether anything goes on
MOST_ROWS = 6  # chosen: contexts whose frontier moved, per block
MOST_RUNNING = 3  # chosen: they fit a line


class PlainView(Followed):
    """A line per finished trial; now and then where the sweep stands, and in long silences what runs."""

    def __init__(
        self,
        sweep: Sweep,
        stream: TextIO | None = None,
        *,
        records: Sequence[TrialRecord] = (),
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """Keep what the lines need.

        Args:
            sweep: its budget is named in each line.
            stream: where lines go; stderr by default.
            records: trials of an earlier run of the same sweep.
            clock: seconds that only grow.
            wait: waits so many seconds for the end of the view, and returns whether it came.
        """
        self._stream, self._clock = stream or sys.stderr, clock
        super().__init__(sweep, records, clock)
        self._budget = sweep.budget.trials
        self._said_at = self._stood_at = clock()
        self._rows: dict[Context, str] = {}
        self._answer = ""
        self._over = Event()
        self._wait = wait or self._over.wait
        self._ticker = Thread(target=self._tick, name="stabsearch-view", daemon=True)

    def __enter__(self) -> PlainView:
        """Return the view, which watches for silence from now on."""
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write nothing more by itself."""
        self._over.set()
        self._ticker.join()

    def finished(self, record: TrialRecord) -> None:
        """Write how the trial ended."""
        with self._lock:
            self._course.finished(record)
            seconds = duration(record.startup_s + record.train_s)
            said = f": {printable(record.message)}" if record.message else ""
            line = f"{record.plan.run_name} {ended(record)}, {counted(record.steps, 'step')}, {seconds}{said}"
            self._say(f"{self._place()} {line}")

    def stands(self, standing: Standing) -> None:
        """Write the answer so far and the frontiers that moved, unless that was done a moment ago."""
        with self._lock:
            if self._clock() - self._stood_at < STANDS_EVERY_S or not self._is_news(standing):
                return
            self._stood_at = self._clock()
            self._say(f"so far: {self._times()}")
            for line in self._moved(standing):
                self._say(f"  frontier: {line}")
            self._say(f"  if stopped now: {standing.line}")

    def message(self, text: str) -> None:
        """Write the text on a line of its own."""
        with self._lock:
            self._say(printable(text))

    def _tick(self) -> None:
        """Break silences until it is over: a trial that loads a model, or hangs, sends no events."""
        quiet_s = SILENT_FOR_S
        while not self._wait(quiet_s):
            with suppress(OSError):  # nobody is there to read any more
                quiet_s = self._break_silence()

    def _break_silence(self) -> float:
        """Return after how many seconds to look again; write what runs, when nothing else was for long."""
        with self._lock:
            silent_s = self._clock() - self._said_at
            if silent_s < SILENT_FOR_S:
                return SILENT_FOR_S - silent_s
            if self._course.num_running:
                self._say(running_line(self._course.running(MOST_RUNNING), self._course.num_running))
            return SILENT_FOR_S

    def _is_news(self, standing: Standing) -> bool:
        return standing.line != self._answer or standing.num_trials != (
            self._course.standing.num_trials if self._course.standing else 0
        )

    def _place(self) -> str:
        return f"[{self._course.tally.done:>{len(str(self._budget))}}/{self._budget}]"

    def _times(self) -> str:
        course, tally, left = self._course, self._course.tally, self._course.seconds_left()
        about = "" if left is None else f", about {duration(left)} left"
        silent = f", {tally.silent} without evidence" if tally.silent else ""
        known = f"{tally.stable} stable, {tally.failed} failed{silent}, {course.num_running} running"
        return f"{duration(course.elapsed_s)} elapsed{about}; {known}"

    def _moved(self, standing: Standing) -> list[str]:
        """Return the frontiers that moved since the last time, those that matter most."""
        lines = {row.context: row_line(row) for row in standing.rows}
        moved = [row for row in standing.rows if self._rows.get(row.context) != lines[row.context]]
        self._rows, self._answer, self._course.standing = lines, standing.line, standing
        shown = those_that_matter(moved, standing.best, MOST_ROWS)
        hidden = len(moved) - len(shown)
        more = [f"… and {counted(hidden, 'more context')} moved"] if hidden else []
        return [*(lines[row.context] for row in shown), *more]

    def _say(self, line: str) -> None:
        self._said_at = self._clock()
        print(line, file=self._stream, flush=True)
