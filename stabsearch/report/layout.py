"""Where things stand in the frontier picture, the same for every way of drawing it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stabsearch.records import Context, Outcome, TrialRecord
from stabsearch.report.findings import ContextRow, Findings

COLUMN_SHARE = 0.78  # chosen: leaves a visible gap between neighbouring warmups
MAX_HALF_WIDTH = 0.2  # chosen: a lone column stays a column and does not fill its panel
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#5B5B5B")
"""Colours told apart with every common colour blindness (Okabe and Ito 2008), without the yellow
and the black, which vanish on one of the two backgrounds."""


@dataclass(frozen=True)
class Column:
    """One context in the picture."""

    context: Context
    row: ContextRow | None
    x: float
    """Centre, in units of one warmup value."""
    half_width: float
    color: int
    """Index of the clip norm."""
    trials: tuple[TrialRecord, ...]
    failed_below: frozenset[int] = frozenset()
    """Numbers of the trials behind a non-monotone flag."""

    def trial_x(self, index: int) -> float:
        """Return where the trial with this index stands: spread evenly, so that few overlap."""
        return self.x + 0.8 * self.half_width * _spread(index)


@dataclass(frozen=True)
class Panel:
    """All contexts of one precision."""

    precision: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Picture:
    """The frontier picture: one panel per precision on shared axes."""

    panels: tuple[Panel, ...]
    warmups: tuple[int, ...]
    """One place on the x axis each, in optimizer steps."""
    clips: tuple[float, ...]
    """One colour each; 0: no clipping."""
    low: float
    """Smallest learning rate shown."""
    high: float
    """Largest learning rate shown."""
    outcomes: tuple[Outcome, ...]
    """Outcomes that occur among the trials shown."""

    @property
    def has_failed_below(self) -> bool:
        """True when trials contradict the frontier of some context."""
        return any(column.failed_below for panel in self.panels for column in panel.columns)

    @property
    def is_unsure(self) -> bool:
        """True when the trials of some context do not suffice to name a safe rate."""
        columns = (column for panel in self.panels for column in panel.columns)
        return any(column.row and column.row.num_trials and not column.row.lr_safe for column in columns)

    @property
    def decades(self) -> tuple[int, ...]:
        """Return the powers of ten on the learning-rate axis."""
        return tuple(range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1))


def picture_of(findings: Findings) -> Picture:
    """Return the layout of the frontier picture; without contexts it has no panels."""
    contexts = findings.contexts
    warmups = tuple(sorted({context.warmup_steps for context in contexts}))
    clips = tuple(sorted({context.max_grad_norm for context in contexts}))
    precisions = dict.fromkeys(context.precision for context in contexts)
    rows = {row.context: row for row in findings.rows}
    half = min(COLUMN_SHARE / max(len(clips), 1) / 2, MAX_HALF_WIDTH)

    def column(context: Context) -> Column:
        color = clips.index(context.max_grad_norm)
        x = warmups.index(context.warmup_steps) + (2 * color + 1 - len(clips)) * half
        trials = findings.of_context(context)
        below = findings.failed_below & {trial.plan.number for trial in trials}
        return Column(context, rows.get(context), x, 0.9 * half, color, trials, below)

    panels = tuple(
        Panel(precision, tuple(column(context) for context in contexts if context.precision == precision))
        for precision in precisions
    )
    shown = {trial.outcome for panel in panels for column in panel.columns for trial in column.trials}
    low, high = _rate_range(findings)
    ordered = tuple(outcome for outcome in Outcome if outcome in shown)
    return Picture(panels, warmups, clips, low, high, ordered)


def clip_label(clip: float) -> str:
    """Return a clip norm as the legend names it."""
    return f"clip {clip:g}" if clip else "no clipping"


def marker(outcome: Outcome) -> str:
    """Return which shape a trial is drawn as; all outcomes that prove nothing share one."""
    return outcome.value if outcome.is_evidence else "silent"


def color_of(index: int) -> str:
    """Return the colour of a clip norm."""
    return OKABE_ITO[index % len(OKABE_ITO)]


def _rate_range(findings: Findings) -> tuple[float, float]:
    """Return the searched range, or wider when trials ran outside it, with a margin."""
    searched = findings.sweep.search.learning_rate
    rates = [record.plan.learning_rate for record in findings.counted]
    low, high = min([searched.low, *rates]), max([searched.high, *rates])
    margin = (high / low) ** 0.04
    return low / margin, high * margin


def _spread(index: int) -> float:
    """Return a number in (-1, 1): the binary van der Corput sequence, which fills gaps first."""
    index, value, step = index + 1, 0.0, 0.5
    while index:
        index, bit = divmod(index, 2)
        value, step = value + bit * step, step / 2
    return 2 * value - 1
