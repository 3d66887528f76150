"""Where things stand in the frontier picture, the same for every way of drawing it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stabsearch.records import Context, Outcome, TrialRecord
from stabsearch.records.hyperparameters import FURTHER, HYPERPARAMETERS, Value
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
    """Index of what its colour stands for."""
    trials: tuple[TrialRecord, ...]
    failed_below: frozenset[int] = frozenset()
    """Numbers of the trials behind a non-monotone flag."""

    def trial_x(self, index: int) -> float:
        """Return where the trial with this index stands: spread evenly, so that few overlap."""
        return self.x + 0.8 * self.half_width * _spread(index)


@dataclass(frozen=True)
class Panel:
    """All contexts of one precision, and of equal values of what neither axis nor colour shows."""

    title: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Picture:
    """The frontier picture: panels on shared axes, one per precision unless more is searched."""

    panels: tuple[Panel, ...]
    warmups: tuple[int, ...]
    """One place on the x axis each, in optimizer steps."""
    colors: tuple[str, ...]
    """What each colour stands for: a clip norm; where there is one only, a value of what else is searched."""
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
    colored = _colored(contexts)
    values = _values(contexts, colored)
    apart = [row.name for row in FURTHER if row.name != colored and len(_values(contexts, row.name)) > 1]
    titles = {context: _title(context, apart) for context in contexts}
    rows = {row.context: row for row in findings.rows}
    half = min(COLUMN_SHARE / max(len(values), 1) / 2, MAX_HALF_WIDTH)

    def column(context: Context) -> Column:
        color = values.index(getattr(context, colored))
        x = warmups.index(context.warmup_steps) + (2 * color + 1 - len(values)) * half
        trials = findings.of_context(context)
        below = findings.failed_below & {trial.plan.number for trial in trials}
        return Column(context, rows.get(context), x, 0.9 * half, color, trials, below)

    panels = tuple(
        Panel(title, tuple(column(context) for context in contexts if titles[context] == title))
        for title in dict.fromkeys(titles.values())
    )
    shown = {trial.outcome for panel in panels for column in panel.columns for trial in column.trials}
    low, high = _rate_range(findings)
    ordered = tuple(outcome for outcome in Outcome if outcome in shown)
    colors = tuple(_color_label(colored, value) for value in values)
    return Picture(panels, warmups, colors, low, high, ordered)


def _colored(contexts: Sequence[Context]) -> str:
    """Return what colours stand for: the clip norm, or where there is one only, the first that differs."""
    names = ["max_grad_norm", *(row.name for row in FURTHER)]
    return next((name for name in names if len(_values(contexts, name)) > 1), names[0])


def _values(contexts: Sequence[Context], name: str) -> list[Any]:
    found = {getattr(context, name) for context in contexts}
    return sorted(found, key=lambda value: (value is not None, value or 0))


def _title(context: Context, apart: Sequence[str]) -> str:
    """Return what a context's panel is called: its precision, and what else tells panels apart."""
    return " · ".join([context.precision, *(_color_label(name, getattr(context, name)) for name in apart)])


def _color_label(name: str, value: Value | None) -> str:
    """Return one value of a hyperparameter as the legend names it.

    >>> _color_label("max_grad_norm", 0.0), _color_label("adam_beta2", 0.98)
    ('no clipping', 'b2 0.98')
    """
    row = HYPERPARAMETERS[name]
    if value is None:
        return f"{row.short} as in training"
    return "no clipping" if name == "max_grad_norm" and not value else row.label(value)


def marker(outcome: Outcome) -> str:
    """Return which shape a trial is drawn as; all outcomes that prove nothing share one."""
    return outcome.value if outcome.is_evidence else "silent"


def color_of(index: int) -> str:
    """Return a colour by its index."""
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
