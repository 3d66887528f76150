"""fp16: the loss scale over the steps of each trial, and how many updates the scaler skipped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median

from stabsearch.records import Outcome, TrialRecord
from stabsearch.report.curves_svg import curve_key, kind_of
from stabsearch.report.findings import Findings
from stabsearch.report.markup import Markup, joined, table, tag
from stabsearch.report.wording import NONE, counted

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 460, 190, 44, 8, 20, 8
HEADS = (
    "context",
    "#trials",
    "#with skipped steps",
    "#skipped, median",
    "#skipped, most",
    "#lowest scale",
    "#at the floor",
)
NOT_KEPT = "The loss scale of each step was not kept by the version that ran these trials."


def fp16_trials(findings: Findings) -> list[TrialRecord]:
    """Return the trials that trained in fp16, as far as they took a step."""
    return [record for record in findings.counted if record.plan.precision == "fp16" and record.trace.steps]


def scaling_rows(findings: Findings) -> list[tuple[str | int, ...]]:
    """Return what the loss scaler did in each fp16 context; see ``HEADS``."""
    trials = fp16_trials(findings)
    groups = {
        context: [trial for trial in trials if trial.plan.context == context] for context in findings.contexts
    }
    return [_row(context.label, group) for context, group in groups.items() if group]


def _row(label: str, trials: Sequence[TrialRecord]) -> tuple[str | int, ...]:
    skips = [trial.skipped_steps for trial in trials]
    lowest = min((scale for trial in trials for scale in _scales(trial)), default=math.nan)
    return (
        label,
        len(trials),
        sum(number > 0 for number in skips),
        f"{median(skips):g}",
        max(skips),
        f"{lowest:,g}" if math.isfinite(lowest) else NONE,
        sum(trial.outcome is Outcome.SCALE_FLOOR for trial in trials),
    )


def _scales(trial: TrialRecord) -> list[float]:
    return [scale for scale in trial.trace.loss_scales if math.isfinite(scale) and scale > 0]


def scaling_figure(findings: Findings) -> Markup | None:
    """Return what the loss scaler did, drawn and in numbers; None when no trial trained in fp16."""
    trials = fp16_trials(findings)
    if not trials:
        return None
    numbers = table(HEADS, scaling_rows(findings), caption="Loss scale and skipped steps per fp16 context")
    kept = [trial for trial in trials if _scales(trial)]
    if not kept:
        return joined([tag("p", NOT_KEPT, class_="muted"), numbers])
    keys = [(curve_key("stable"), "stable"), (curve_key("failed"), "failed")]
    legend = tag("ul", [tag("li", sign, name) for sign, name in keys], class_="legend")
    return joined([legend, tag("figure", _drawn(kept), class_="scaling"), numbers])


def _drawn(trials: Sequence[TrialRecord]) -> Markup:
    scales = [math.log2(scale) for trial in trials for scale in _scales(trial)]
    low, high = math.floor(min(scales)), max(math.ceil(max(scales)), math.floor(min(scales)) + 1)
    last = max(trial.trace.steps[-1] for trial in trials)

    def place(step: int, power: float) -> tuple[float, float]:
        x = LEFT + step / last * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (power - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    every = max(1, math.ceil((high - low) / 5))
    rules = [_rule(place(0, power)[1], f"{2.0**power:,g}") for power in range(low, high + 1, every)]
    curves = [
        tag("g", tag("path", d=_stairs(trial, place)), class_=f"curve {kind_of(trial)}")
        for trial in sorted(trials, key=lambda trial: trial.outcome.is_failure)
    ]
    failed = sum(trial.outcome.is_failure for trial in trials)
    words = f"Loss scale over steps of {counted(len(trials), 'fp16 trial')}, {failed} of them failed"
    first = tag("text", "step 1", x=LEFT, y=HEIGHT - 5, class_="tick")
    end = tag("text", f"{last:,}", x=WIDTH - RIGHT, y=HEIGHT - 5, class_="tick end")
    parts = (tag("title", words), rules, curves, first, end)
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")


def _rule(y: float, name: str) -> Markup:
    line = tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="rule")
    return joined([line, tag("text", name, x=LEFT - 6, y=y + 3.5, class_="tick end")])


def _stairs(trial: TrialRecord, place: Callable[[int, float], tuple[float, float]]) -> str:
    """Return the path of a loss scale, which changes at few steps only."""
    path, before = "", None
    for step, scale in zip(trial.trace.steps, trial.trace.loss_scales, strict=True):
        if not (math.isfinite(scale) and scale > 0) or scale == before:
            continue
        x, y = place(step, math.log2(scale))
        path += f"H{x:g}V{y:g}" if path else f"M{x:g},{y:g}"
        before = scale
    return f"{path}H{place(trial.trace.steps[-1], 0)[0]:g}"
