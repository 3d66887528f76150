"""The frontier as scalable pictures for a page: one per precision, with a text for every mark."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stabsearch.frontier.answer import Recommendation
from stabsearch.records import TrialRecord
from stabsearch.report.findings import Findings
from stabsearch.report.layout import Column, Panel, Picture, marker, picture_of
from stabsearch.report.markup import Markup, joined, tag
from stabsearch.report.remarks import BELOW, FLAG, verdict_words
from stabsearch.report.risk_field import Strip, strips_of
from stabsearch.report.wording import CAUSES, ended, percent, printable, rate, rate_interval

LEFT, RIGHT, TOP, BOTTOM, HEIGHT = 52, 10, 12, 58, 372
HALF_PAGE, FULL_PAGE = 504, 720
LABEL_ROOM = 54  # px; chosen: the longest label of a column fits
MANY = 200  # chosen: trials above which smaller marks hide less of each other
NUM_COLORS = 7
GLYPHS = {
    "stable": "M-3.3,0a3.3,3.3 0 1,0 6.6,0a3.3,3.3 0 1,0 -6.6,0",
    "nonfinite": "M-4.4,-2.8L-2.8,-4.4L0,-1.6L2.8,-4.4L4.4,-2.8L1.6,0L4.4,2.8L2.8,4.4L0,1.6L-2.8,4.4L-4.4,2.8"
    "L-1.6,0Z",
    "diverged": "M0,-4.8L4.4,3.2L-4.4,3.2Z",
    "collapsed": "M0,4.8L4.4,-3.2L-4.4,-3.2Z",
    "scale_floor": "M0,-4.8L4.8,0L0,4.8L-4.8,0Z",
    "silent": "M-1.8,0a1.8,1.8 0 1,0 3.6,0a1.8,1.8 0 1,0 -3.6,0",
}
RING = "M-7.5,0a7.5,7.5 0 1,0 15,0a7.5,7.5 0 1,0 -15,0"
STAR = "M0,-9L2.4,-3.2L8.6,-2.8L3.8,1.2L5.3,7.3L0,4L-5.3,7.3L-3.8,1.2L-8.6,-2.8L-2.4,-3.2Z"


def frontier_figures(findings: Findings) -> Markup:
    """Return one figure per precision and a legend; nothing when there are no contexts."""
    picture = picture_of(findings)
    if not findings.records:
        return tag("p", "No trials yet.", class_="muted")
    strips = strips_of(findings.frontier, picture.low, picture.high)
    figures = [
        _figure(panel, picture, findings, [strips.get(column.context) for column in panel.columns])
        for panel in picture.panels
    ]
    return joined(
        [
            _legend(picture, findings),
            tag("div", figures, class_="panels", style=_columns(picture)),
        ]
    )


def _columns(picture: Picture) -> str:
    """Return how narrow a panel may get before the next one moves below it."""
    return f"--panel:{0.8 * _Scale(picture).width:.0f}px"


class _Scale:
    """Where a place in the picture lies in the drawing, in px."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        columns = len(picture.warmups) * len(picture.colors)
        room = HALF_PAGE if len(picture.panels) > 1 else FULL_PAGE
        self.width = max(room, LEFT + RIGHT + 26 * columns)
        self.per_warmup = (self.width - LEFT - RIGHT) / len(picture.warmups)

    def x(self, place: float) -> float:
        return round(LEFT + (place + 0.5) * self.per_warmup, 1)

    def y(self, learning_rate: float) -> float:
        low, high = math.log(self.picture.low), math.log(self.picture.high)
        share = (math.log(learning_rate) - low) / (high - low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _figure(panel: Panel, picture: Picture, findings: Findings, strips: Sequence[Strip | None]) -> Markup:
    """Return one panel: a group of links, one per trial, over what explains them."""
    scale = _Scale(picture)
    recommended, name = findings.answer.recommendation, f"panel-{picture.panels.index(panel)}"
    drawn = tag(
        "svg",
        tag("title", _summary(panel, picture), id=name),
        [
            _field(strip, column, scale, f"{name}-{place}")
            for place, (column, strip) in enumerate(zip(panel.columns, strips, strict=True))
        ],
        _axes(scale, panel),
        [_point(column, index, scale) for column in panel.columns for index in range(len(column.trials))],
        [_band(column, scale) for column in panel.columns],
        [_star(column, recommended, scale) for column in panel.columns],
        viewBox=f"0 0 {scale.width} {HEIGHT}",
        style=f"max-width:{scale.width}px;min-width:{0.62 * scale.width:.0f}px",
        role="group",
        aria_labelledby=name,
        class_="many" if len(findings.records) > MANY else None,
    )
    caption = tag("figcaption", panel.title)
    return tag("figure", caption, tag("div", drawn, class_="scroll"))


def _field(strip: Strip | None, column: Column, scale: _Scale, name: str) -> Markup:
    """Return a context's failure probability as colour; an empty strip where no trial ran."""
    left, right = scale.x(column.x - column.half_width), scale.x(column.x + column.half_width)
    place = {"x": left, "y": TOP, "width": round(right - left, 1), "height": HEIGHT - TOP - BOTTOM}
    if strip is None:
        return tag("rect", class_="field none", **place)
    stops = [
        tag("stop", offset=f"{share:g}", stop_opacity=f"{probability:.3g}")
        for share, probability in strip.corners()
    ]
    gradient = tag("linearGradient", stops, id=name, x1=0, y1=1, x2=0, y2=0)
    return joined([gradient, tag("rect", class_="field", fill=f"url(#{name})", **place)])


def _summary(panel: Panel, picture: Picture) -> str:
    """Return the panel in words."""
    said = [
        f"warmup {column.context.warmup_steps}, {picture.colors[column.color]}: {_said(column)}"
        for column in panel.columns
    ]
    return f"{panel.title}. " + "; ".join(said)


def _said(column: Column) -> str:
    row = column.row
    if row is None or row.lr_safe is None:
        return verdict_words(row) if row else "no frontier"
    flag = f", {FLAG} non-monotone" if row.is_non_monotone else ""
    return f"frontier near {rate(row.lr_safe)} ({rate_interval(row.lr_low, row.lr_high)}){flag}"


def _axes(scale: _Scale, panel: Panel) -> Markup:
    right, base = scale.width - RIGHT, HEIGHT - BOTTOM
    label = tag("text", "warmup (optimizer steps)", x=(LEFT + right) / 2, y=HEIGHT - 6, class_="axis mid")
    turned = f"translate(11,{(base + TOP) / 2:g}) rotate(-90)"
    side = tag("text", "learning rate", transform=turned, class_="axis mid")
    warmups = [
        tag("text", f"{steps:,}", x=scale.x(index), y=base + 33, class_="tick mid")
        for index, steps in enumerate(scale.picture.warmups)
    ]
    columns = [_column_label(column, scale) for column in panel.columns]
    return joined([[_rule(power, scale) for power in scale.picture.decades], columns, warmups, label, side])


def _column_label(column: Column, scale: _Scale) -> Markup | None:
    """Return what a column's colour stands for, where there is room below it."""
    if 2 * column.half_width * scale.per_warmup < LABEL_ROOM or len(scale.picture.colors) == 1:
        return None
    place = {"x": scale.x(column.x), "y": HEIGHT - BOTTOM + 15}
    return tag(
        "text", scale.picture.colors[column.color], class_=f"label mid {_color(column.color)}", **place
    )


def _rule(power: int, scale: _Scale) -> Markup:
    y = scale.y(10.0**power)
    line = tag("line", x1=LEFT, x2=scale.width - RIGHT, y1=y, y2=y, class_="rule")
    return joined([line, tag("text", f"1e{power}", x=LEFT - 8, y=y + 4, class_="tick end")])


def _band(column: Column, scale: _Scale) -> Markup | None:
    """Return the credible interval as a box and the safe rate as its line; dashed where evidence is short."""
    row = column.row
    if row is None or not row.num_trials:
        return None
    left, right = scale.x(column.x - column.half_width), scale.x(column.x + column.half_width)
    parts = [tag("title", f"{column.context.label}: {_said(column)}")]
    if row.lr_low is not None and row.lr_high is not None:
        top, width = scale.y(row.lr_high), round(right - left, 1)
        height = round(max(scale.y(row.lr_low) - top, 1), 1)
        look = "band" if row.lr_safe else "band unsure"
        box = {"x": left, "y": top, "width": width, "height": height}
        parts += [tag("rect", class_="halo", **box), tag("rect", class_=look, **box)]
    if row.lr_safe is not None:
        y = scale.y(row.lr_safe)
        parts.append(tag("line", x1=left, x2=right, y1=y, y2=y, class_="safe"))
    return tag("g", parts, class_=_color(column.color))


def _point(column: Column, index: int, scale: _Scale) -> Markup:
    """Return a trial as a link to its row in the table of trials."""
    trial = column.trials[index]
    shape = marker(trial.outcome)
    place = f"translate({scale.x(column.trial_x(index))},{scale.y(trial.plan.learning_rate)})"
    is_ringed = trial.plan.number in column.failed_below
    return tag(
        "a",
        tag("title", point_text(trial)),
        tag("path", d=RING, class_="ring") if is_ringed else None,
        tag("path", d=GLYPHS[shape], class_=shape),
        href=f"#trial-{trial.plan.number}",
        transform=place,
        class_="point",
    )


def point_text(trial: TrialRecord) -> str:
    """Return one trial in a line: settings, how it ended, cause, first bad step, message."""
    parts = [f"trial {trial.plan.number}", f"learning rate {rate(trial.plan.learning_rate)}"]
    parts += [trial.plan.context.label, ended(trial)]
    if trial.cause is not None:
        parts.append(f"cause: {CAUSES[trial.cause]}")
    if trial.first_bad_step is not None:
        parts.append(f"first bad step {trial.first_bad_step}")
    if trial.message:
        parts.append(printable(trial.message)[:160])
    return " · ".join(parts)


def _star(column: Column, recommended: Recommendation | None, scale: _Scale) -> Markup | None:
    if recommended is None or recommended.context != column.context:
        return None
    place = f"translate({scale.x(column.x)},{scale.y(recommended.learning_rate)})"
    text = f"recommended: {column.context.label}, learning rate {rate(recommended.learning_rate)}"
    return tag("path", tag("title", text), d=STAR, transform=place, class_="star")


def _legend(picture: Picture, findings: Findings) -> Markup:
    shapes = dict.fromkeys(marker(outcome) for outcome in picture.outcomes)
    names = {"silent": "no evidence", "scale_floor": "scale floor"}
    keys = [
        *((_glyph(GLYPHS[shape], shape), names.get(shape, shape)) for shape in shapes),
        *([(_glyph(RING, "ring"), BELOW)] if picture.has_failed_below else []),
        *([(_glyph(STAR, "star"), "recommended")] if findings.answer.recommendation else []),
        (_key(tag("line", x1=-9, x2=9, y1=0, y2=0, class_="plain safe")), "frontier"),
        (_box_key("band"), "credible interval"),
        *([(_box_key("band unsure"), "not enough evidence")] if picture.is_unsure else []),
        *((_swatch(index), name) for index, name in enumerate(picture.colors)),
    ]
    listed = tag("ul", [tag("li", sign, name) for sign, name in keys], class_="legend")
    return tag("div", _colour_key(findings.sweep.risk.max_failure_probability), listed, class_="keys")


def _colour_key(risk: float) -> Markup:
    """Return the scale of the failure probability, the allowed risk marked."""
    ticks = [
        joined([
            tag("line", x1=160 * share, x2=160 * share, y1=12, y2=16, class_="notch"),
            tag("text", f"{100 * share:g} %", x=160 * share, y=27, class_="tick mid"),
        ])
        for share in (0, 0.5, 1)
    ]  # fmt: skip
    gradient = tag(
        "linearGradient",
        tag("stop", offset=0, stop_opacity=0),
        tag("stop", offset=1, stop_opacity=1),
        id="risk-scale",
    )
    drawn = tag(
        "svg",
        tag("title", f"Colour: failure probability from 0 to 100 %; {percent(risk)} is allowed"),
        gradient,
        tag("rect", x=0, y=0, width=160, height=12, class_="field frame", fill="url(#risk-scale)"),
        tag("path", d=f"M{160 * risk:g},0V12", class_="allowed"),
        ticks,
        viewBox="-14 -2 192 32",
        role="img",
        class_="colour-key",
    )
    return tag(
        "div", tag("span", f"failure probability (line: {percent(risk)} allowed)"), drawn, class_="risk-key"
    )


def _key(*children: Markup) -> Markup:
    return tag("svg", *children, viewBox="-11 -11 22 22", width=18, height=18, aria_hidden="true")


def _swatch(index: int) -> Markup:
    return _key(tag("rect", x=-8, y=-5, width=16, height=10, rx=2, class_=f"{_color(index)} swatch"))


def _box_key(look: str) -> Markup:
    return _key(tag("rect", x=-9, y=-6, width=18, height=12, class_=f"plain {look}"))


def _glyph(path: str, classes: str) -> Markup:
    return _key(tag("path", d=path, class_=classes))


def _color(index: int) -> str:
    return f"c{index % NUM_COLORS}"
