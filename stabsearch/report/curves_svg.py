"""Loss curves of stable against failed trials, as small pictures on one scale."""

from __future__ import annotations

import math
from itertools import pairwise

from stabsearch.records import TrialRecord
from stabsearch.report.findings import Findings
from stabsearch.report.markup import Markup, joined, tag
from stabsearch.report.wording import counted

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 230, 130, 34, 8, 18
MAX_POINTS = 60  # chosen: finer than a small picture can show; 500 trials stay under 1 MB


def curve_figures(findings: Findings) -> Markup:
    """Return one small picture per context: a line per trial, a cross where numbers ended."""
    curves = {
        context: [trial for trial in findings.of_context(context) if _finite(trial)]
        for context in findings.contexts
    }
    if not any(curves.values()):
        return tag("p", "No losses were recorded.", class_="muted")
    scale = _Scale([trial for trials in curves.values() for trial in trials])
    figures = [_figure(context.label, trials, scale) for context, trials in curves.items()]
    return joined([_legend(), tag("div", figures, class_="curves")])


def _finite(record: TrialRecord) -> list[tuple[int, float]]:
    """Return step and loss wherever the loss is a positive number."""
    points = zip(record.trace.steps, record.trace.losses, strict=True)
    return [(step, loss) for step, loss in points if math.isfinite(loss) and loss > 0]


class _Scale:
    """Steps from left to right, loss on a log axis that leaves out the outermost spikes."""

    def __init__(self, records: list[TrialRecord]) -> None:
        losses = sorted(loss for record in records for _, loss in _finite(record))
        self.low = max(losses[len(losses) // 200], 1e-6) * 0.9
        self.high = max(losses[-1 - len(losses) // 200] * 1.1, self.low * 10)
        self.steps = max(record.trace.steps[-1] for record in records)

    def x(self, step: int) -> float:
        return round(LEFT + step / self.steps * (WIDTH - LEFT - 6), 1)

    def y(self, loss: float) -> float:
        inside = min(max(loss, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def ticks(self) -> list[float]:
        powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
        return [10.0**power for power in powers]


def _figure(label: str, trials: list[TrialRecord], scale: _Scale) -> Markup:
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
    return tag("figure", tag("figcaption", label), drawn)


def _axes(scale: _Scale) -> Markup:
    rules = [
        joined([
            tag("line", x1=LEFT, x2=WIDTH - 6, y1=scale.y(loss), y2=scale.y(loss), class_="rule"),
            tag("text", f"{loss:g}", x=LEFT - 5, y=scale.y(loss) + 3.5, class_="tick end"),
        ])
        for loss in scale.ticks()
    ]  # fmt: skip
    first = tag("text", "step 1", x=LEFT, y=HEIGHT - 5, class_="tick")
    last = tag("text", f"{scale.steps:,}", x=WIDTH - 6, y=HEIGHT - 5, class_="tick end")
    return joined([*rules, first, last])


def _curve(trial: TrialRecord, scale: _Scale) -> Markup:
    points = _thinned(_finite(trial))
    kind = "failed" if trial.outcome.is_failure else "stable" if trial.outcome.is_evidence else "silent"
    places = [(scale.x(step), scale.y(loss)) for step, loss in points]
    path = "M" + "L".join(f"{x:g},{y:g}" for x, y in places)
    parts = [tag("title", f"trial {trial.plan.number}: {trial.outcome.value}"), tag("path", d=path)]
    if trial.first_bad_step is not None:
        x, y = places[-1]
        parts.append(tag("path", d=f"M{x - 3:g},{y - 3:g}l6,6m0,-6l-6,6", class_="end"))
    return tag("g", parts, class_=f"curve {kind}")


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return at most ``MAX_POINTS`` points, the last included; each run keeps its highest loss."""
    stride = max(1, math.ceil(len(points) / MAX_POINTS))
    edges = [*range(0, len(points), stride), len(points)]
    peaks = [max(points[begin:end], key=lambda point: point[1]) for begin, end in pairwise(edges)]
    return peaks if peaks[-1] == points[-1] else [*peaks, points[-1]]


def _legend() -> Markup:
    def key(kind: str) -> Markup:
        line = tag("g", tag("path", d="M-10,3L-3,-3L3,2L10,-4"), class_=f"curve {kind}")
        return tag("svg", line, viewBox="-11 -11 22 22", width=18, height=18, aria_hidden="true")

    kinds = [("stable", "stable"), ("failed", "failed (× where a number was not finite)")]
    return tag("ul", [tag("li", key(kind), name) for kind, name in kinds], class_="legend")
