"""Trials on a terminal: those that run, with their latest step, and those that ended last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.table import Table
from rich.text import Text

from stabsearch.records import Grade, Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.records.progress import Progress
from stabsearch.report.wording import NONE, duration, ended, planned_rate, rate

BLANK = Text("")
GAP = 2
LEAST_CONTEXT = 7


@dataclass(frozen=True)
class Running:
    """A trial that runs."""

    plan: TrialPlan
    began: float
    """When it was sent off, in the seconds of a clock that only grows."""
    progress: Progress | None = None
    """Its latest step, as far as that is known."""
    seconds: float = 0.0
    """Since it was sent off."""

    def at(self, now: float) -> Running:
        """Return the same at a moment of that clock."""
        return replace(self, seconds=now - self.began)


def trial_table(
    running: Sequence[Running], num_running: int, last: Sequence[TrialRecord], width: int
) -> Table:
    """Return running trials, then those that ended last, a line each.

    Where the window is too narrow for whole contexts, they are written as in a trial's name.

    Args:
        running: those that are shown.
        num_running: how many there are.
        last: the latest first.
        width: columns of the terminal.
    """
    for head, is_compact in (("learning rate", False), ("lr", False), ("lr", True)):
        heads = ("trial", head, "context", "step", "loss", "")
        rows = _rows(running, num_running, last, is_compact)
        if sum(_widths(rows, heads)) + GAP * (len(heads) - 1) <= width:
            break
    return _table(rows, heads, width)


def _rows(
    running: Sequence[Running], num_running: int, last: Sequence[TrialRecord], is_compact: bool
) -> list[tuple[Text, ...]]:
    rows: list[tuple[Text, ...]] = [(*_settings(each.plan, is_compact), *_standing(each)) for each in running]
    if num_running > len(running):
        more = f"… {num_running - len(running):,} {'more' if running else 'running'}"
        rows.append((BLANK, BLANK, Text(more, style="dim"), BLANK, BLANK, BLANK))
    rows += [(*_settings(record.plan, is_compact), *_ending(record, is_compact)) for record in last]
    return rows


def _widths(rows: Sequence[tuple[Text, ...]], heads: Sequence[str]) -> list[int]:
    return [max([len(head), *(row[i].cell_len for row in rows)]) for i, head in enumerate(heads)]


def _table(rows: Sequence[tuple[Text, ...]], heads: Sequence[str], width: int) -> Table:
    """Return the rows; where the window is narrow, it is the contexts that are cut."""
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    widths = _widths(rows, heads)
    place = list(heads).index("context")
    room = width - sum(widths) + widths[place] - GAP * (len(widths) - 1)
    widths[place] = max(min(widths[place], room), LEAST_CONTEXT)
    for head, column in zip(heads, widths, strict=True):
        is_number = head not in {"context", ""}
        table.add_column(
            head, justify="right" if is_number else "left", no_wrap=True, overflow="ellipsis", width=column
        )
    for row in rows:
        table.add_row(*row)
    return table


def running_line(running: Sequence[Running], num_running: int) -> str:
    """Return how far running trials are, in a line."""
    parts = [f"{each.plan.run_name} {_progress_text(each)}" for each in running]
    hidden = num_running - len(running)
    more = [f"and {hidden:,} more"] if hidden else []
    return f"running: {'; '.join([*parts, *more])}"


def loss_text(loss: float) -> str:
    """Return a loss in at most seven characters; what is not finite as what it is.

    >>> loss_text(0.693147), loss_text(71234.5), loss_text(float("nan"))
    ('0.693', '7.1e4', 'NaN')
    """
    if math.isnan(loss):
        return "NaN"
    if math.isinf(loss):
        return "inf" if loss > 0 else "-inf"
    return f"{loss:.3g}" if 1e-3 <= abs(loss) < 1e3 or loss == 0 else rate(loss)


def _progress_text(running: Running) -> str:
    progress = running.progress
    if progress is None:
        return f"for {duration(running.seconds)}"
    return (
        f"step {progress.step:,} of {running.plan.horizon:,}, loss {loss_text(progress.loss)}, "
        f"learning rate {rate(progress.learning_rate)}"
    )


def _settings(plan: TrialPlan, is_compact: bool) -> tuple[Text, Text, Text]:
    name = compact_label(plan) if is_compact else plan.context.label
    return Text(str(plan.number)), Text(planned_rate(plan)), Text(name)


def compact_label(plan: TrialPlan) -> str:
    """Return a trial's context as its name has it, in few characters.

    >>> from stabsearch.records import Stage
    >>> compact_label(TrialPlan(7, Stage.SEARCH, 1e-3, 100, 1.0, "bf16", 0, 0, 120))
    'bf16 w100 c1'
    """
    _, warmup, clip, precision, *further, _ = plan.run_name.split("_")
    return " ".join([precision, warmup, clip, *further])


def _standing(running: Running) -> tuple[Text, Text, Text]:
    """Return step, loss and what it is at."""
    progress = running.progress
    if progress is None:
        return (
            Text(NONE, style="dim"),
            Text(NONE, style="dim"),
            Text(f"▸ {duration(running.seconds)}", "cyan"),
        )
    is_finite = math.isfinite(progress.loss)
    return (
        Text(f"{progress.step}/{running.plan.horizon}", "cyan"),
        Text(loss_text(progress.loss), "" if is_finite else "bold red"),
        Text(f"▸ at {rate(progress.learning_rate)}" if is_finite else "▸ broke: why?", "cyan"),
    )


def _ending(record: TrialRecord, is_compact: bool) -> tuple[Text, Text, Text]:
    """Return the step at which it ended, its last loss, and how it ended."""
    losses = record.trace.losses
    step = record.steps if record.first_bad_step is None else record.first_bad_step
    return (
        Text(f"{step}/{record.plan.horizon}", "dim"),
        Text(loss_text(losses[-1]) if losses else NONE, "dim"),
        _outcome(record, is_compact),
    )


def _outcome(record: TrialRecord, is_compact: bool) -> Text:
    if record.plan.stage is Stage.RAMP:
        return Text(f"– ramp, {ended(record)}", "dim")
    if record.outcome is Outcome.STABLE:
        is_graded = is_compact and record.grade not in {None, Grade.CLEAN}
        return Text(f"✓ {record.grade if is_graded else ended(record)}", "green")
    return (
        Text(f"✗ {ended(record)}", "red")
        if record.outcome.is_failure
        else Text(f"– {ended(record)}", "yellow")
    )
