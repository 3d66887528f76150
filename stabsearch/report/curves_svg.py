"""Loss curves: all stable trials beside all failed ones, then each context, everything on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from stabsearch.records import TrialRecord
from stabsearch.report.findings import Findings
from stabsearch.report.markup import Markup, joined, tag
from stabsearch.report.wording import counted

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 230, 130, 34, 8, 18, 6
MAX_POINTS = 60  # chosen: finer than a small picture can show; 500 trials stay under 1 MB
OPEN_CONTEXTS = 12  # chosen: three rows of small pictures; more start folded
LOG_DECADES = 1.0  # chosen: a scale that spans less than this has room for more than powers of ten


def curve_figures(findings: Findings) -> Markup:
    """Return stable and failed trials side by side, and one small picture per context below.

    A curve is drawn once, in its context's picture; the two large ones and the card of a trial show it again.
    """
    curves = {
        context: [trial for trial in findings.of_context(context) if _finite(trial)]
        for context in findings.contexts
    }
    trials = [trial for group in curves.values() for trial in group]
    if not trials:
        return tag("p", "No losses were recorded.", class_="muted")
    scale = _Scale(trials)
    small = tag(
        "div", [_small(context.label, group, scale) for context, group in curves.items()], class_="curves"
    )
    if len(curves) == 1:
        parts = small
    else:
        is_open = "" if len(curves) <= OPEN_CONTEXTS else None
        parts = tag("details", tag("summary", f"{len(curves)} contexts, one by one"), small, open=is_open)
    return joined([_legend(scale), _overview(trials, scale), parts])


def _finite(record: TrialRecord) -> list[tuple[int, float]]:
    """Return step and loss wherever the loss is a positive number."""
    points = zip(record.trace.steps, record.trace.losses, strict=True)
    return [(step, loss) for step, loss in points if math.isfinite(loss) and loss > 0]


class _Scale:
    """Steps from left to right, loss on a log axis that leaves out the outermost spikes."""

    def __init__(self, records: Sequence[TrialRecord]) -> None:
        losses = sorted(loss for record in records for _, loss in _finite(record))
        self.low = max(losses[len(losses) // 200], 1e-6) * 0.9
        self.high = max(losses[-1 - len(losses) // 200] * 1.1, self.low * 3)
        self.steps = max(record.trace.steps[-1] for record in records)
        chances = {round(record.chance_loss, 4) for record in records if math.isfinite(record.chance_loss)}
        chance = chances.pop() if len(chances) == 1 else math.nan
        self.chance = chance if self.low < chance < self.high else None
        """Loss of the trivial predictor, where all trials share it and it lies inside."""

    def x(self, step: int) -> float:
        return round(LEFT + step / self.steps * (WIDTH - LEFT - RIGHT), 1)

    def y(self, loss: float) -> float:
        inside = min(max(loss, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def ticks(self) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = (1,) if math.log10(self.high / self.low) > 3 * LOG_DECADES else (1, 3)
        found = [step * 10.0**power for power in powers for step in steps]
        return [loss for loss in found if self.low <= loss <= self.high]


def _overview(trials: Sequence[TrialRecord], scale: _Scale) -> Markup:
    failed = [trial for trial in trials if trial.outcome.is_failure]
    stable = [trial for trial in trials if not trial.outcome.is_failure and trial.outcome.is_evidence]
    pairs = ((counted(len(stable), "stable trial"), stable), (counted(len(failed), "failed trial"), failed))
    return tag("div", [_large(title, group, scale) for title, group in pairs], class_="overview")


def _large(title: str, trials: Sequence[TrialRecord], scale: _Scale) -> Markup:
    """Return a large picture of curves that are drawn elsewhere on the page."""
    drawn = tag(
        "svg",
        tag("title", f"Loss curves of {title}"),
        _axes(scale),
        [tag("use", href=f"#curve-{trial.plan.number}") for trial in trials],
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
    )
    return tag("figure", tag("figcaption", title), drawn)


def _small(label: str, trials: Sequence[TrialRecord], scale: _Scale) -> Markup:
    failed = sum(trial.outcome.is_failure for trial in trials)
    stable = sum(not trial.outcome.is_failure and trial.outcome.is_evidence for trial in trials)
    drawn = tag(
        "svg",
        tag("title", f"Loss curves, {label}: {counted(stable, 'stable trial')}, {failed} failed"),
        _axes(scale),
        # failed ones last: they are what one looks for
        [_curve(trial, scale) for trial in sorted(trials, key=lambda trial: trial.outcome.is_failure)],
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
    )
    note = tag("small", f" {stable} stable, {failed} failed")
    return tag("figure", tag("figcaption", label, note), drawn)


def _axes(scale: _Scale) -> Markup:
    rules = [
        joined([
            tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=scale.y(loss), y2=scale.y(loss), class_="rule"),
            tag("text", f"{loss:g}", x=LEFT - 5, y=scale.y(loss) + 3.5, class_="tick end"),
        ])
        for loss in scale.ticks()
    ]  # fmt: skip
    if scale.chance:
        y = scale.y(scale.chance)
        rules.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="chance"))
    first = tag("text", "step 1", x=LEFT, y=HEIGHT - 5, class_="tick")
    last = tag("text", f"{scale.steps:,}", x=WIDTH - RIGHT, y=HEIGHT - 5, class_="tick end")
    return tag("g", *rules, first, last, class_="axes")


def _curve(trial: TrialRecord, scale: _Scale) -> Markup:
    points = _thinned(_finite(trial))
    places = [(scale.x(step), scale.y(loss)) for step, loss in points]
    path = "M" + "L".join(f"{x:g},{y:g}" for x, y in places)
    parts = [tag("title", f"trial {trial.plan.number}: {trial.outcome.value}"), tag("path", d=path)]
    if trial.first_bad_step is not None:
        x, y = places[-1]
        parts.append(tag("path", d=f"M{x - 3:g},{y - 3:g}l6,6m0,-6l-6,6", class_="end"))
    return tag("g", parts, id=f"curve-{trial.plan.number}", class_=f"curve {kind_of(trial)}")


def kind_of(trial: TrialRecord) -> str:
    """Return how a trial's curve is drawn: stable, failed, or silent where it proves nothing."""
    if trial.outcome.is_failure:
        return "failed"
    return "stable" if trial.outcome.is_evidence else "silent"


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return at most ``MAX_POINTS`` points, the last included; each run keeps its highest loss."""
    stride = max(1, math.ceil(len(points) / MAX_POINTS))
    edges = [*range(0, len(points), stride), len(points)]
    peaks = [max(points[begin:end], key=lambda point: point[1]) for begin, end in pairwise(edges)]
    return peaks if peaks[-1] == points[-1] else [*peaks, points[-1]]


def curve_key(kind: str) -> Markup:
    """Return the sign of a kind of curve, for a legend."""
    line = tag("g", tag("path", d="M-10,3L-3,-3L3,2L10,-4"), class_=f"curve {kind}")
    return tag("svg", line, viewBox="-11 -11 22 22", width=18, height=18, aria_hidden="true")


def _legend(scale: _Scale) -> Markup:
    kinds = [
        (curve_key("stable"), "stable"),
        (curve_key("failed"), "failed (× where its numbers went bad)"),
    ]
    if scale.chance:
        line = tag("line", x1=-10, x2=10, y1=0, y2=0, class_="chance")
        sign = tag("svg", line, viewBox="-11 -11 22 22", width=18, height=18, aria_hidden="true")
        kinds.append((sign, f"trivial predictor ({scale.chance:.2g})"))
    return tag("ul", [tag("li", sign, name) for sign, name in kinds], class_="legend")
