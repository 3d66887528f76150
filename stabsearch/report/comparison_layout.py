"""Where things stand in the picture of a comparison, the same for every way of drawing it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stabsearch.frontier.shift import Movement, Shift
from stabsearch.records import Context
from stabsearch.report.comparison import Comparison, Line
from stabsearch.report.comparison_text import movement_words
from stabsearch.report.findings import ContextRow
from stabsearch.report.layout import OKABE_ITO

SPREAD, MOST_APART = 0.56, 0.34  # chosen: of the height of a row, from first to last and between two
MarkKind = Literal["interval", "top", "dead", "unsure"]
"""Bounded; stable to the top of its range; nothing stable; not enough evidence."""
_KINDS: dict[str, MarkKind] = {
    "bounded": "interval",
    "stable_to_top": "top",
    "no_stable_region": "dead",
    "not_enough_evidence": "unsure",
}
KIND_NAMES: dict[MarkKind, str] = {
    "interval": "safe learning rate and credible interval",
    "top": "stable to the top of the range",
    "dead": "no stable region",
    "unsure": "not enough evidence",
}


@dataclass(frozen=True)
class Mark:
    """One sweep in one context."""

    side: int
    """Index of the sweep: its colour and shape."""
    offset: float
    """From the middle of the row, in heights of a row, down."""
    kind: MarkKind
    row: ContextRow
    shift: Shift | None


@dataclass(frozen=True)
class Panel:
    """All compared contexts of one precision."""

    title: str
    rows: tuple[tuple[str, Line | None], ...]
    """Name and context; the same names in every panel, None where this precision has no such context."""


def panels_of(comparison: Comparison) -> tuple[Panel, ...]:
    """Return one panel per precision, its contexts from the top down."""
    names = [name for name in Context._fields if name != "precision"]
    rests = sorted({line.context._replace(precision="") for line in comparison.lines}, key=_rest_order)
    labels = {rest: rest.label_of(_apart(rests, names)) for rest in rests}
    precisions = dict.fromkeys(line.context.precision for line in comparison.lines)
    by_context = {line.context: line for line in comparison.lines}
    return tuple(
        Panel(
            precision,
            tuple((labels[rest], by_context.get(rest._replace(precision=precision))) for rest in rests),
        )
        for precision in precisions
    )


def _rest_order(context: Context) -> tuple[object, ...]:
    return context.order[2:]


def _apart(rests: Sequence[Context], names: list[str]) -> list[str]:
    """Return what rows are named by: what differs among them, or warmup and clip norm."""
    apart = [name for name in names if len({getattr(rest, name) for rest in rests}) > 1]
    return apart or names[:2]


def marks_of(line: Line, num_sides: int) -> list[Mark]:
    """Return what is drawn of one context: the first sweep on top."""
    step = min(SPREAD / max(num_sides - 1, 1), MOST_APART)
    return [
        Mark(side, step * (side - (num_sides - 1) / 2), _KINDS[row.verdict], row, line.shifts[side])
        for side, row in enumerate(line.rows)
        if row is not None
    ]


def rate_range(comparison: Comparison) -> tuple[float, float]:
    """Return lowest and highest learning rate of the axis: what is known, never more than was searched."""
    searched = [side.frontier.learning_rate_range for side in comparison.sides]
    ends = [
        end
        for line in comparison.lines
        for row in line.rows
        if row is not None
        for end in (row.lr_low, row.lr_high)
        if end is not None
    ]
    if any(row and row.verdict == "no_stable_region" for line in comparison.lines for row in line.rows):
        ends.append(min(low for low, _ in searched))
    low = min(ends, default=min(low for low, _ in searched))
    high = max(ends, default=max(high for _, high in searched))
    # a quarter of a decade is the unit of the ends
    return 10 ** (math.floor(4 * math.log10(low)) / 4 - 0.1), 10 ** (
        math.ceil(4 * math.log10(high)) / 4 + 0.1
    )


def named_rates(low: float, high: float) -> list[float]:
    """Return the learning rates that an axis names: as many as do not touch.

    >>> named_rates(0.9e-4, 1.1e-2)
    [0.0001, 0.0003, 0.001, 0.003, 0.01]
    """
    decades = math.log10(high / low)
    factors = (1,) if decades > 3.2 else (1, 3) if decades > 1.2 else (1, 2, 5)
    values = [float(f"{factor}e{power}") for power in range(-12, 6) for factor in factors]
    return [value for value in values if low <= value <= high]


def rate_name(value: float) -> str:
    """Return a learning rate as an axis names it.

    >>> rate_name(0.0003), rate_name(1.0)
    ('3e-4', '1')
    """
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}" if int(exponent) else mantissa


def short_words(shift: Shift | None) -> str:
    """Return how a frontier moved, beside its interval: ``↓ 2.1x``; empty for the first sweep.

    >>> short_words(Shift(Movement.DOWN, 0.476, 0.294, 0.77))
    '↓ 2.1x'
    """
    if shift is None:
        return ""
    match shift.movement:
        case Movement.UNCLEAR:
            return "no move seen"
        case Movement.NOT_ENOUGH_EVIDENCE:
            return "?"
    arrow = "↓" if shift.movement is Movement.DOWN else "↑"
    sign = " ≥" if shift.is_bound else ""
    size = next((word for word in movement_words(shift).split() if word.endswith("x")), "")
    return f"{arrow}{sign} {size}".rstrip()


def color_of(side: int) -> str:
    """Return the colour of a sweep, told apart with every common colour blindness."""
    return OKABE_ITO[side % len(OKABE_ITO)]
