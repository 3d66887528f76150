"""The live table on a terminal: how far the sweep is, and the frontier as it forms."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stabsearch.config import Sweep
from stabsearch.frontier import Frontier
from stabsearch.frontier.stopping import mean_error
from stabsearch.records import Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.report.findings import ContextRow, frontier_rows
from stabsearch.report.terminal import frontier_table
from stabsearch.report.wording import duration, ended, planned_rate, printable

REFRESH_HZ = 4
NUM_LAST = 4
NUM_RUNNING = 6
FIXED_LINES = 10  # headings and blank lines around the three tables


class LiveView:
    """Redraws one table in place while the sweep runs; everything goes to the console given."""

    def __init__(
        self,
        sweep: Sweep,
        console: Console,
        *,
        num_done: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep what the table needs.

        Args:
            sweep: name, budget and learning-rate range.
            console: a terminal.
            num_done: trials of an earlier run of the same sweep.
            clock: seconds that only grow.
        """
        searched = sweep.search.learning_rate
        self._sweep = sweep
        self._console = console
        self._clock = clock
        self._range = (searched.low, searched.high)
        self._num_earlier = num_done
        self._num_finished = 0
        self._begun = clock()
        self._running: dict[int, tuple[TrialPlan, float]] = {}
        self._last: deque[TrialRecord] = deque(maxlen=NUM_LAST)
        self._rows: tuple[ContextRow, ...] = ()
        self._error: float | None = None
        self._lock = Lock()  # the refresh runs in a thread of its own
        self._live = Live(
            console=console, get_renderable=self.render, refresh_per_second=REFRESH_HZ, transient=True
        )

    def __enter__(self) -> Self:
        """Return the view, drawn."""
        self._begun = self._clock()
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the table away: the answer follows."""
        self._live.stop()

    def started(self, plan: TrialPlan) -> None:
        """List the trial as running."""
        with self._lock:
            self._running[plan.number] = (plan, self._clock())

    def finished(self, record: TrialRecord, frontier: Frontier | None) -> None:
        """Move the trial to the last outcomes, and redraw the frontier when there is a new one."""
        rows = frontier_rows(frontier)
        error = mean_error(frontier, self._sweep.search.goal) if frontier and rows else None
        with self._lock:
            self._running.pop(record.plan.number, None)
            self._num_finished += 1
            self._last.appendleft(record)
            self._rows = rows or self._rows
            self._error = self._error if error is None else error

    def message(self, text: str) -> None:
        """Write a line above the table."""
        self._console.print(Text(printable(text)))

    def render(self) -> RenderableType:
        """Return the table as it stands now."""
        with self._lock:
            parts: list[RenderableType] = [self._head(), Text("")]
            if self._rows:
                parts += [frontier_table(self._rows, self._range, self._max_contexts()), Text("")]
            parts.append(self._trials())
            return Group(*parts)

    def _max_contexts(self) -> int:
        """Return how many contexts fit the window, so that the table never scrolls."""
        others = FIXED_LINES + min(len(self._running), NUM_RUNNING) + len(self._last)
        return max(3, self._console.size.height - others)

    def _head(self) -> RenderableType:
        budget, done = self._sweep.budget.trials, self._num_earlier + self._num_finished
        line = Table.grid(padding=(0, 2, 0, 0))
        bar = ProgressBar(total=budget, completed=min(done, budget), width=20)
        counts = f"{done}/{budget} done · {len(self._running)} running"
        line.add_row(Text(self._sweep.name, style="bold", no_wrap=True), bar, counts)
        below = Text(
            f"{self._times(done)}{self._known()}", style="dim", no_wrap=True, overflow="ellipsis"
        )  # one line, whatever it says: the table's height counts on it
        return Group(line, below)

    def _known(self) -> str:
        """Return how closely the frontier is known, and how closely it was asked for."""
        if self._error is None:
            return ""
        tolerance = self._sweep.search.tolerance
        wanted = "" if tolerance is None else f" ({tolerance:g} asked for)"
        return f" · known to {self._error:.2f} decades{wanted}"

    def _times(self, done: int) -> str:
        elapsed = self._clock() - self._begun
        left = self.seconds_left(elapsed, self._sweep.budget.trials - done)
        return f"{duration(elapsed)} elapsed" + ("" if left is None else f" · about {duration(left)} left")

    def seconds_left(self, elapsed: float, num_left: int) -> float | None:
        """Return the estimated time left in seconds; None before the first trial is done."""
        if not self._num_finished:
            return None
        estimate = max(num_left, 0) * elapsed / self._num_finished
        limit = self._sweep.budget.wall_clock
        return estimate if limit is None else min(estimate, max(limit - elapsed, 0.0))

    def _trials(self) -> RenderableType:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for name in ("trial", "learning rate"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("context", no_wrap=True, overflow="ellipsis")
        table.add_column("", no_wrap=True, overflow="ellipsis", max_width=28)
        running = list(self._running.values())
        for plan, begun in running[:NUM_RUNNING]:
            table.add_row(*_settings(plan), Text(f"running {duration(self._clock() - begun)}", style="cyan"))
        if len(running) > NUM_RUNNING:
            table.add_row("", "", f"… and {len(running) - NUM_RUNNING} more running", "")
        for record in self._last:
            table.add_row(*_settings(record.plan), _ending(record))
        return table


def _settings(plan: TrialPlan) -> tuple[str, str, str]:
    return str(plan.number), planned_rate(plan), plan.context.label


def _ending(record: TrialRecord) -> Text:
    step = f" at step {record.first_bad_step}" if record.first_bad_step is not None else ""
    if record.plan.stage is Stage.RAMP:
        return Text(f"– ramp, {ended(record)}{step}", style="dim")
    if record.outcome is Outcome.STABLE:
        return Text(f"✓ {ended(record)}", style="green")
    sign, style = ("✗", "red") if record.outcome.is_failure else ("–", "yellow")
    return Text(f"{sign} {ended(record)}{step}", style=style)
