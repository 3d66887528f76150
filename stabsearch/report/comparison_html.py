"""A comparison of sweeps as one page that works offline, with a text for every mark."""

from __future__ import annotations

import math

from stabsearch.report.comparison import Comparison
from stabsearch.report.comparison_layout import (
    KIND_NAMES,
    Mark,
    MarkKind,
    Panel,
    marks_of,
    named_rates,
    panels_of,
    rate_name,
    rate_range,
    short_words,
)
from stabsearch.report.comparison_text import (
    answer_sentences,
    movement_words,
    notes,
    shift_words,
    side_words,
    terms_text,
    warning_text,
)
from stabsearch.report.html import page_style
from stabsearch.report.markup import Markup, joined, table, tag
from stabsearch.report.wording import HEADINGS, printable

LEFT, PLOT, RIGHT, TOP, BOTTOM = 132, 300, 98, 8, 36
"""px of the drawing: names of rows, learning rates, how the frontier moved."""
PER_SIDE, GAP = 18, 10
NUM_COLORS = 7
SHAPES = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "M-3.6,-3.6H3.6V3.6H-3.6Z",
    "M0,-4.6L4.4,3.6H-4.4Z",
    "M0,-5L5,0L0,5L-5,0Z",
    "M0,4.6L4.4,-3.6H-4.4Z",
    "M-1.6,-4.6H1.6V-1.6H4.6V1.6H1.6V4.6H-1.6V1.6H-4.6V-1.6H-1.6Z",
    "M-4.4,0L0,-4.4L4.4,0Z",
)
ARROW, CROSS = "M-4,-4.6L5,0L-4,4.6Z", "M-4,-4L4,4M-4,4L4,-4"
STYLE = """
.mark { fill: var(--c); } .cross { stroke: var(--c); stroke-width: 2; fill: none; }
.whisker { stroke: var(--c); stroke-width: 2.6; }
.whisker.unsure { stroke-dasharray: 3 3; stroke-width: 1.5; }
.moved { font-size: 11px; fill: var(--muted); } .moved.clear { fill: var(--c); font-weight: 600; }
.name { font-size: 11.5px; fill: var(--ink); }
header > .warned { margin: 12px 0 0; color: var(--bad); background: var(--bad-bg); padding: 10px 16px;
  border-radius: 8px; font-weight: 600; max-width: none; overflow-wrap: anywhere; }
ul.changes { padding-left: 20px; overflow-wrap: anywhere; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def comparison_html(comparison: Comparison) -> str:
    """Return the whole page; it loads nothing and runs nothing."""
    *before, last = (side.label for side in comparison.sides)
    names = f"{', '.join(before)} and {last}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"Comparison of {names}"),
        tag("style", Markup(page_style() + STYLE)),
    )
    first, *more = answer_sentences(comparison)
    warned = warning_text(comparison)
    header = tag(
        "header",
        tag("p", f"stabsearch compare · {names}"),
        tag("p", warned, class_="warned", role="alert") if warned else None,
        tag(
            "section",
            tag("h1", "How the frontier moved"),
            [tag("p", sentence, class_="lead") for sentence in (first, *more)],
            tag("p", terms_text(comparison), class_="small"),
            class_="answer open",
        ),
    )
    main = tag(
        "main",
        tag("h2", "Safe learning rates"),
        _figures(comparison),
        tag("h2", "In numbers"),
        _contexts(comparison),
        [tag("p", note, class_="muted small") for note in notes(comparison)],
        tag("h2", "What changed"),
        _changes(comparison),
        tag("h2", "The sweeps"),
        _sides(comparison),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', header, main), lang='en')}\n"


def _figures(comparison: Comparison) -> Markup:
    panels = panels_of(comparison)
    drawn = [_figure(panel, comparison) for panel in panels]
    width = LEFT + PLOT + RIGHT
    return joined(
        [
            _legend(comparison, panels),
            tag("div", drawn, class_="panels", style=f"--panel:{0.8 * width:.0f}px"),
        ]
    )


class _Scale:
    """Where a learning rate and a row lie in the drawing, in px."""

    def __init__(self, comparison: Comparison) -> None:
        self.low, self.high = rate_range(comparison)
        self.row = PER_SIDE * len(comparison.sides) + GAP

    def x(self, learning_rate: float) -> float:
        share = math.log(learning_rate / self.low) / math.log(self.high / self.low)
        return round(LEFT + PLOT * share, 1)

    def y(self, place: float) -> float:
        return round(TOP + self.row * (place + 0.5), 1)


def _figure(panel: Panel, comparison: Comparison) -> Markup:
    scale = _Scale(comparison)
    base, width = TOP + scale.row * len(panel.rows), LEFT + PLOT + RIGHT
    rows = [_row(place, label, scale) for place, (label, _) in enumerate(panel.rows)]
    marks = [
        _mark(
            mark,
            scale.y(place + mark.offset * PER_SIDE * len(comparison.sides) / scale.row),
            scale,
            comparison,
        )
        for place, (_, line) in enumerate(panel.rows)
        if line
        for mark in marks_of(line, len(comparison.sides))
    ]
    drawn = tag(
        "svg",
        tag("title", _summary(panel, comparison)),
        rows,
        [_tick(value, base, scale) for value in named_rates(scale.low, scale.high)],
        tag("text", "learning rate", x=LEFT + PLOT / 2, y=base + 32, class_="axis mid"),
        marks,
        viewBox=f"0 0 {width} {base + BOTTOM}",
        style=f"max-width:{width}px;min-width:{0.62 * width:.0f}px",
        role="img",
    )
    return tag("figure", tag("figcaption", panel.title), tag("div", drawn, class_="scroll"))


def _row(place: int, label: str, scale: _Scale) -> Markup:
    name = tag("text", label, x=LEFT - 10, y=scale.y(place) + 4, class_="name end")
    if place % 2 == 0:
        return name
    stripe = tag("rect", x=LEFT, y=scale.y(place - 0.5), width=PLOT, height=scale.row, class_="stripe")
    return joined([stripe, name])


def _tick(value: float, base: float, scale: _Scale) -> Markup:
    x = scale.x(value)
    line = tag("line", x1=x, x2=x, y1=TOP, y2=base, class_="rule")
    return joined([line, tag("text", rate_name(value), x=x, y=base + 15, class_="tick mid")])


def _mark(mark: Mark, y: float, scale: _Scale, comparison: Comparison) -> Markup:
    row, label = mark.row, comparison.sides[mark.side].label
    moved = f", {movement_words(mark.shift)}" if mark.shift else ""
    parts: list[Markup] = [tag("title", f"{label}: {side_words(row)}{moved}")]
    if row.lr_low is not None and row.lr_high is not None and row.num_trials:
        look = "whisker unsure" if mark.kind == "unsure" else "whisker"
        parts.append(tag("line", x1=scale.x(row.lr_low), x2=scale.x(row.lr_high), y1=y, y2=y, class_=look))
    lowest = comparison.sides[mark.side].frontier.learning_rate_range[0]
    x = lowest if mark.kind == "dead" else row.lr_safe
    if mark.kind != "unsure" and x is not None:
        path = {"top": ARROW, "dead": CROSS}.get(mark.kind, SHAPES[mark.side % len(SHAPES)])
        look = "cross" if mark.kind == "dead" else "mark"
        parts.append(tag("path", d=path, transform=f"translate({scale.x(x)},{y})", class_=look))
    if mark.shift:
        is_clear = mark.shift.ratio is not None and mark.shift.movement in {"up", "down"}
        words, look = short_words(mark.shift), "moved clear" if is_clear else "moved"
        parts.append(tag("text", words, x=LEFT + PLOT + 8, y=y + 4, class_=look))
    return tag("g", parts, class_=_color(mark.side))


def _summary(panel: Panel, comparison: Comparison) -> str:
    """Return the panel in words."""
    said = []
    for label, line in panel.rows:
        for side, row, shift in zip(comparison.sides, line.rows, line.shifts, strict=True) if line else ():
            moved = f", {movement_words(shift)}" if shift else ""
            said.append(f"{label}, {side.label}: {side_words(row)}{moved}")
    return f"{panel.title}. " + "; ".join(said)


def _legend(comparison: Comparison, panels: tuple[Panel, ...]) -> Markup:
    number = len(comparison.sides)
    shown = {
        mark.kind for panel in panels for _, line in panel.rows if line for mark in marks_of(line, number)
    }
    signs: dict[MarkKind, Markup] = {
        "top": tag("path", d=ARROW, class_="mark plain"),
        "dead": tag("path", d=CROSS, class_="cross plain"),
        "unsure": tag("line", x1=-9, x2=9, y1=0, y2=0, class_="whisker unsure plain"),
    }
    keys = [
        *((_side_key(index), side.label) for index, side in enumerate(comparison.sides)),
        *((sign, KIND_NAMES[kind]) for kind, sign in signs.items() if kind in shown),
    ]
    return tag("ul", [tag("li", _key(sign), name) for sign, name in keys], class_="legend")


def _side_key(side: int) -> Markup:
    line = tag("line", x1=-10, x2=10, y1=0, y2=0, class_="whisker")
    return tag("g", line, tag("path", d=SHAPES[side % len(SHAPES)], class_="mark"), class_=_color(side))


def _key(sign: Markup) -> Markup:
    return tag("svg", sign, viewBox="-11 -11 22 22", width=18, height=18, aria_hidden="true")


def _color(side: int) -> str:
    return f"c{side % NUM_COLORS}"


def _contexts(comparison: Comparison) -> Markup:
    rows = []
    for line in comparison.lines:
        for side, row, shift in zip(comparison.sides, line.rows, line.shifts, strict=True):
            trials = f"{row.num_trials}, {row.num_failed} failed" if row else ""
            rows.append((line.context.label, side.label, side_words(row), trials, shift_words(shift)))
    heads = ["context", "sweep", "safe learning rate", "trials", "against the first"]  # the last one wraps
    return table(heads, rows, caption="Safe learning rate per context and sweep")


def _changes(comparison: Comparison) -> Markup:
    parts = []
    for other in comparison.others:
        changes = comparison.changes[other]
        first, label = comparison.sides[0].label, comparison.sides[other].label
        parts.append(
            tag(
                "p",
                f"From {first} to {label}:"
                if changes
                else f"From {first} to {label} no difference in settings, versions or device is known.",
            )
        )
        parts.append(tag("ul", [tag("li", change) for change in changes], class_="changes small"))
    return joined(parts)


def _sides(comparison: Comparison) -> Markup:
    rows = [
        (
            side.label,
            len(side.findings.records),
            HEADINGS[side.findings.answer.verdict],
            printable(str(side.folder)),
        )
        for side in comparison.sides
    ]
    return table(["sweep", "#trials", "answer", "folder"], rows, caption="The sweeps")
