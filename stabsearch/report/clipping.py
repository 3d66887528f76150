"""How many updates were clipped, per context that clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from stabsearch.records import Context, TrialRecord
from stabsearch.report.curves_svg import kind_of
from stabsearch.report.findings import Findings
from stabsearch.report.markup import Markup, table, tag
from stabsearch.report.wording import NONE, percent

WIDTH, HEIGHT = 240, 22
HEADS = ("context", "#trials", "#clipped, median of stable", "#clipped, median of failed")
NOTE = (
    "Share of a trial's updates whose gradient norm was above max_grad_norm. Near 100 %, clipping sets the "
    "length of every step, and the norm acts like a second learning rate; near 0 %, it changes nothing."
)


def clipped_trials(findings: Findings) -> dict[Context, list[TrialRecord]]:
    """Return the trials of each context that clips, as far as their share is known."""
    groups = {
        context: [trial for trial in findings.of_context(context) if math.isfinite(trial.clipped_share)]
        for context in findings.contexts
        if context.max_grad_norm
    }
    return {context: trials for context, trials in groups.items() if trials}


def clipping_rows(findings: Findings) -> list[tuple[str | int, ...]]:
    """Return the median share of clipped updates per context; see ``HEADS``."""
    return [
        (context.label, len(trials), _median(trials, "stable"), _median(trials, "failed"))
        for context, trials in clipped_trials(findings).items()
    ]


def _median(trials: Sequence[TrialRecord], kind: str) -> str:
    shares = [trial.clipped_share for trial in trials if kind_of(trial) == kind]
    return percent(median(shares)) if shares else NONE


def clipping_table(findings: Findings) -> Markup | None:
    """Return the shares in numbers and drawn, a mark per trial; None where nothing was clipped."""
    groups = clipped_trials(findings)
    if not groups:
        return None
    rows = [
        (*numbers, _strip(trials))
        for numbers, trials in zip(clipping_rows(findings), groups.values(), strict=True)
    ]
    return tag(
        "div", table((*HEADS, "0 to 100 %, a mark per trial"), rows, caption="Clipped updates per context"),
        class_="clipping",
    )  # fmt: skip


def _strip(trials: Sequence[TrialRecord]) -> Markup:
    """Return a mark per trial between 0 and 100 %: stable ones above the line, failed ones below."""
    marks = [
        tag("path", d=f"M{4 + (WIDTH - 8) * trial.clipped_share:.1f},{1 if kind == 'stable' else 12}v9")
        for kind in ("stable", "failed")
        for trial in trials
        if kind_of(trial) == kind
    ]
    stable = sum(kind_of(trial) == "stable" for trial in trials)
    medians = _median(trials, "stable"), _median(trials, "failed")
    words = f"{medians[0]} of updates clipped in stable trials, {medians[1]} in failed"
    return tag(
        "svg",
        tag("title", words),
        tag("line", x1=4, x2=WIDTH - 4, y1=HEIGHT / 2, y2=HEIGHT / 2, class_="rule"),
        tag("g", marks[:stable], class_="strip stable"),
        tag("g", marks[stable:], class_="strip failed"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
    )
