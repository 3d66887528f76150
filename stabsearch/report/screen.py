"""The live view's picture of a sweep at one moment, laid out for a window of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from stabsearch.records import Stage, TrialRecord
from stabsearch.report.bars import share_bar
from stabsearch.report.frontier_text import frontier_table, num_lines
from stabsearch.report.standing import Standing
from stabsearch.report.terminal import STYLES
from stabsearch.report.trial_table import Running, trial_table
from stabsearch.report.wording import HEADINGS, SYMBOLS, TONES, counted, duration, printable

PROGRESS_WIDTH = 24
LEAST_TABLE = 3  # a head, a context, and how many are hidden
BEFORE = "nothing is known yet"


@dataclass(frozen=True)
class Tally:
    """How the trials of a sweep ended up to now."""

    stable: int = 0
    failed: int = 0
    silent: int = 0
    """They say nothing about stability."""
    ramps: int = 0
    """Learning-rate ramps, however they ended."""

    @property
    def done(self) -> int:
        """Return how many have ended."""
        return self.stable + self.failed + self.silent + self.ramps

    def with_one(self, record: TrialRecord) -> Tally:
        """Return the same with one more."""
        if record.plan.stage is Stage.RAMP:
            return replace(self, ramps=self.ramps + 1)
        if record.outcome.is_failure:
            return replace(self, failed=self.failed + 1)
        if record.is_evidence:
            return replace(self, stable=self.stable + 1)
        return replace(self, silent=self.silent + 1)


@dataclass(frozen=True)
class Screen:
    """A sweep at one moment; draws itself within the window, always at least a line below its height."""

    name: str
    budget: int
    """Trials in all."""
    rate_range: tuple[float, float]
    tolerance: float | None
    """How closely the frontier was asked for, decades."""
    tally: Tally
    elapsed_s: float
    left_s: float | None
    """Estimated; None: nobody knows."""
    num_running: int = 0
    running: tuple[Running, ...] = ()
    """Those that have run for longest, the oldest first."""
    last: tuple[TrialRecord, ...] = ()
    """Trials that ended, latest first."""
    standing: Standing | None = field(default=None)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw what there is room for: the answer before the frontier, the frontier before the trials."""
        width, room = options.max_width, options.size.height - 1
        answer = self._answer(console, width, most_lines=min(max(room // 8, 1), 4))
        head = [self._progress(width), self._times(), self._counts()]
        room -= len(head) + 1 + len(answer)
        yield from head
        if room < 0:
            return
        yield Text("")
        yield from answer
        yield from self._tables(width, room)

    def _tables(self, width: int, room: int) -> list[RenderableType]:
        """Return frontier and trials within so many lines, each with a blank one before it."""
        num_running, num_last = self.num_running, len(self.last)
        least_trials = 1 + min(num_running, max(room // 5, 2)) + min(num_last, max(room // 10, 1))
        rows = self.standing.rows if self.standing else ()
        parts: list[RenderableType] = []
        lines = min(room - least_trials - 2, num_lines(rows))
        if rows and lines >= min(LEAST_TABLE, num_lines(rows)):
            best = self.standing.best if self.standing else None
            table = frontier_table(rows, self.rate_range, width=width, max_lines=lines, best=best)
            parts += [Text(""), table]
            room -= lines + 1
        shown, ended = _shares(room - 2, num_running, num_last)
        if shown or ended:
            table = trial_table(self.running[:shown], num_running, self.last[:ended], width)
            parts += [Text(""), table]
        return parts

    def _progress(self, width: int) -> Text:
        """Return the sweep's name, and how much of its budget is spent."""
        done = self.tally.done
        counts = f"{done:,} of {counted(self.budget, 'trial')} · {self.num_running:,} running"
        bar_width = min(PROGRESS_WIDTH, max(width - len(counts) - 16, 4))
        full, rest = share_bar(done, self.budget, bar_width)
        name = Text(printable(self.name), style="bold")
        name.truncate(max(width - len(counts) - bar_width - 4, 8), overflow="ellipsis")
        line = Text.assemble(name, "  ", (full, "cyan"), (rest, "dim"), "  ", counts)
        return _one_line(line)

    def _times(self) -> Text:
        left = "" if self.left_s is None else f" · about {duration(self.left_s)} left"
        return _one_line(Text(f"{duration(self.elapsed_s)} elapsed{left}{self._known()}", style="dim"))

    def _known(self) -> str:
        """Return how closely the frontier is known, and how closely it was asked for."""
        if self.standing is None or self.standing.error is None:
            return ""
        wanted = "" if self.tolerance is None else f" ({self.tolerance:g} asked)"
        return f" · known to {self.standing.error:.2f} decades{wanted}"

    def _counts(self) -> Text:
        tally = self.tally
        line = Text.assemble((f"{tally.stable} stable", "green"), " · ", (f"{tally.failed} failed", "red"))
        if tally.silent:
            line.append(" · ").append(f"{tally.silent} without evidence", "yellow")
        return _one_line(line)

    def _answer(self, console: Console, width: int, most_lines: int) -> list[Text]:
        """Return what the sweep would say if it ended now: a heading, and so many lines of the sentence."""
        if self.standing is None:
            return [_one_line(Text.assemble(("If stopped now: ", "bold"), (BEFORE, "dim")))]
        answer, since = self.standing.answer, self.tally.done - self.standing.num_trials
        tone = TONES[answer.verdict]
        behind = f" · {counted(since, 'trial')} ago" if since > 0 else ""
        heading = Text.assemble(
            ("If stopped now: ", "bold"), (f"{SYMBOLS[tone]} {HEADINGS[answer.verdict]}", STYLES[tone]),
            (behind, "dim"),
        )  # fmt: skip
        lines = list(Text(printable(answer.sentence)).wrap(console, width))
        return [_one_line(heading), *_cut(lines, most_lines, width)]


def _one_line(line: Text) -> Text:
    """Return a line that is cut at the window's edge: the height counts on it."""
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _cut(lines: Sequence[Text], most: int, width: int) -> list[Text]:
    """Return the first lines; the last of them says that there is more."""
    kept = list(lines[:most])
    if len(lines) > most:
        kept[-1] = kept[-1].copy()
        kept[-1].truncate(width - 2)
        kept[-1].append(" …")
    return kept


def _shares(room: int, num_running: int, num_last: int) -> tuple[int, int]:
    """Return how many running and how many ended trials fit; one line counts the running that do not.

    >>> _shares(10, 2, 20), _shares(6, 100, 20), _shares(0, 3, 3)
    ((2, 8), (3, 2), (0, 0))
    """
    if room <= 0:
        return 0, 0
    ended = min(num_last, max(room - num_running, room // 3))
    shown = min(num_running, room - ended)
    return (shown, ended) if shown == num_running else (max(shown - 1, 0), ended)
