"""What is seen of a sweep while it runs: the same events as lines, or nothing at all."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console

from stabsearch.config import Sweep
from stabsearch.frontier import Frontier
from stabsearch.records import Stage, TrialPlan, TrialRecord
from stabsearch.report.findings import frontier_rows
from stabsearch.report.live import LiveView
from stabsearch.report.terminal import row_line
from stabsearch.report.wording import counted, duration, ended, printable


class View(Protocol):
    """Watches a sweep from its start to its end; used as a context manager."""

    def __enter__(self) -> Self:
        """Return the view, shown."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was found."""

    def started(self, plan: TrialPlan) -> None:
        """A trial was sent off; once more when it is tried again."""

    def finished(self, record: TrialRecord, frontier: Frontier | None) -> None:
        """A trial was recorded; the frontier as it now stands, None where it was not fitted."""

    def message(self, text: str) -> None:
        """Something worth a line happened."""


class QuietView:
    """Shows nothing."""

    def __enter__(self) -> Self:
        """Return the view."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""

    def started(self, plan: TrialPlan) -> None:
        """Show nothing."""

    def finished(self, record: TrialRecord, frontier: Frontier | None) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing: errors and the answer have their own way out."""


class PlainView(QuietView):
    """One line per finished trial, for logs."""

    def __init__(self, budget: int, num_done: int = 0, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._budget = budget
        self._num_done = num_done

    def finished(self, record: TrialRecord, frontier: Frontier | None) -> None:
        """Write how the trial ended, and what its context's frontier now is."""
        self._num_done += 1
        seconds = duration(record.startup_s + record.train_s)
        place = f"[{self._num_done:>{len(str(self._budget))}}/{self._budget}]"
        line = f"{place} {record.plan.run_name} {ended(record)}, {counted(record.steps, 'step')}, {seconds}"
        said = f": {printable(record.message)}" if record.message else ""
        self._write(line + said)
        if record.plan.stage is Stage.RAMP:  # it moved nothing
            return
        for row in frontier_rows(frontier):
            if row.context == record.plan.context:
                self._write(f"{' ' * len(place)} {row_line(row)}")

    def message(self, text: str) -> None:
        """Write the text on a line of its own."""
        self._write(printable(text))

    def _write(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def view_for(
    sweep: Sweep, *, is_quiet: bool = False, num_done: int = 0, stream: TextIO | None = None
) -> View:
    """Return the view that suits the stream: a live table, plain lines, or nothing.

    Args:
        sweep: its budget and learning-rate range are shown.
        is_quiet: show nothing.
        num_done: trials of an earlier run of the same sweep.
        stream: where progress goes; stderr by default.
    """
    if is_quiet:
        return QuietView()
    console = Console(file=stream or sys.stderr, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        return PlainView(sweep.budget.trials, num_done, stream)
    return LiveView(sweep, console, num_done=num_done)
