"""Calibration drawn: what the model expected against what happened."""

from __future__ import annotations

from stabsearch.report.calibration import Calibration, Group
from stabsearch.report.markup import Markup, joined, tag
from stabsearch.report.wording import counted, percent

SIZE, LEFT, TOP, BOTTOM, RIGHT = 280, 58, 10, 42, 18


def calibration_figure(calibration: Calibration) -> Markup:
    """Return a dot per group with its interval; on the diagonal model and trials agree."""
    words = "; ".join(_words(group) for group in calibration.groups)
    corner = f"M{_x(0):g},{_y(0):g}L{_x(1):g},{_y(1):g}"
    fresh = [_dot(calibration.fresh, "fresh")] if calibration.fresh else []
    drawn = tag(
        "svg",
        tag("title", f"Failures expected and observed. {words}"),
        [_tick(share) for share in (0, 0.25, 0.5, 0.75, 1)],
        tag("path", d=corner, class_="diagonal"),
        [_dot(group, "known") for group in calibration.groups],
        fresh,
        tag("text", "expected", x=(_x(0) + _x(1)) / 2, y=SIZE - 4, class_="axis mid"),
        tag(
            "text",
            "observed",
            transform=f"translate(11,{(_y(0) + _y(1)) / 2:g}) rotate(-90)",
            class_="axis mid",
        ),
        viewBox=f"0 0 {SIZE} {SIZE}",
        role="img",
    )
    keys = [("known", "trials of the fit"), *([("fresh", "confirmation, foreseen")] if fresh else [])]
    return tag("figure", drawn, tag("ul", [_key(*key) for key in keys], class_="legend"))


def _words(group: Group) -> str:
    trials = counted(group.num_trials, "trial")
    return f"expected {percent(group.expected)}: {group.num_failed} of {trials} failed"


def _x(share: float) -> float:
    return round(LEFT + share * (SIZE - LEFT - RIGHT), 1)


def _y(share: float) -> float:
    return round(SIZE - BOTTOM - share * (SIZE - TOP - BOTTOM), 1)


def _tick(share: float) -> Markup:
    name = f"{100 * share:g} %"
    return joined([
        tag("line", x1=_x(0), x2=_x(1), y1=_y(share), y2=_y(share), class_="rule"),
        tag("text", name, x=LEFT - 6, y=_y(share) + 3.5, class_="tick end"),
        tag("text", name, x=_x(share), y=SIZE - BOTTOM + 16, class_="tick mid"),
    ])  # fmt: skip


def _dot(group: Group, kind: str) -> Markup:
    x, y = _x(group.expected), _y(group.observed)
    whisker = tag("line", x1=x, x2=x, y1=_y(group.observed_low), y2=_y(group.observed_high), class_="whisker")
    return tag("g", tag("title", _words(group)), whisker, _sign(x, y, kind), class_=kind)


def _sign(x: float, y: float, kind: str) -> Markup:
    if kind == "known":
        return tag("circle", cx=x, cy=y, r=4.5)
    return tag("path", d=f"M{x:g},{y - 6:g}l6,6l-6,6l-6,-6Z")


def _key(kind: str, name: str) -> Markup:
    drawn = tag("g", _sign(0, 0, kind), class_=kind)
    sign = tag("svg", drawn, viewBox="-11 -11 22 22", width=18, height=18, aria_hidden="true")
    return tag("li", sign, name)
