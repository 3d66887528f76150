"""The tables of the page."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from stabsearch.frontier.effects import Effect
from stabsearch.records import TrialRecord
from stabsearch.report import failures
from stabsearch.report.effects_svg import RatioAxis, axis_figure, axis_of, effect_figure
from stabsearch.report.failures import failures_of
from stabsearch.report.findings import Findings
from stabsearch.report.knobs import basis, direction, fold, fold_interval, setting
from stabsearch.report.markup import Markup, joined, table, tag
from stabsearch.report.remarks import (
    SEARCH,
    evaluation_cell,
    evaluation_head,
    extrapolated_interval,
    purpose,
    verdict_words,
)
from stabsearch.report.wording import (
    CAUSES,
    NONE,
    OUTCOMES,
    counted,
    ended,
    percent,
    planned_rate,
    printable,
    rate,
    rate_interval,
)

OPEN_TRIALS = 40  # chosen: a longer trial table starts folded, so that the page stays easy to skim
_CHOSEN = tag("span", " · recommended", class_="chosen")


def frontier_table(findings: Findings) -> Markup:
    """Return the frontier in numbers, one row per context."""
    if not findings.rows:
        return tag("p", "No context has a frontier yet.", class_="muted")
    best = findings.answer.recommendation
    rows = [
        (
            row.context.label,
            rate(row.lr_safe),
            rate_interval(row.lr_low, row.lr_high),
            row.num_trials,
            row.num_failed,
            joined([verdict_words(row), _CHOSEN if best and best.context == row.context else None]),
        )
        for row in findings.rows
    ]
    heads = ["context", "#frontier", "#credible interval", "#trials", "#failed", "verdict"]
    return table(heads, rows, caption="Frontier per context")


def effects_table(effects: Sequence[Effect]) -> Markup:
    """Return what each setting does to the safe learning rate, drawn and in numbers."""
    axis = axis_of(effects)
    rows = [_effect_row(effect, axis) for effect in effects]
    heads = ["setting", axis_figure(axis), "factor"]
    return tag("div", table(heads, rows, caption="What each setting buys"), class_="effects")


def _effect_row(effect: Effect, axis: RatioAxis) -> tuple[Markup, Markup, Markup]:
    name = joined([setting(effect.factor, effect.value), tag("small", basis(effect))])
    size = f"{fold(effect.ratio)} {fold_interval(effect)}"
    return name, effect_figure(effect, axis), joined([size, tag("small", direction(effect))])


def extrapolated_table(findings: Findings) -> Markup:
    """Return the frontier over the full run beside the measured one."""
    answer = findings.answer
    measured = {row.context: row.lr_safe for row in findings.rows}
    rows = [
        (
            each.context.label,
            rate(each.learning_rate),
            extrapolated_interval(each),
            rate(measured.get(each.context)),
        )
        for each in answer.extrapolated
    ]
    horizon, end = f"{answer.horizon:,}", f"{answer.max_steps:,}"
    heads = ["context", f"#extrapolated to step {end}", "#credible interval", f"#measured to step {horizon}"]
    return table(heads, rows, caption="Frontier over the full run, extrapolated")


def outcome_table(findings: Findings) -> Markup:
    """Return how many trials ended in which way, ramps left out."""
    if not findings.counted:
        return tag("p", "No trials yet.", class_="muted")
    total = len(findings.counted)
    rows = [
        (outcome.value, count, percent(count / total), OUTCOMES[outcome])
        for outcome, count in findings.outcomes.items()
    ]
    return table(["outcome", "#trials", "#share", "meaning"], rows, caption="Outcomes")


def failure_table(findings: Findings) -> Markup | None:
    """Return what failed and why, with links to the first bad batches; None when nothing did."""
    rows = [
        (
            *each.cells,
            _bundles(each.bundles, findings),
            printable(each.example),
        )
        for each in failures_of(findings)
    ]
    if not rows:
        return None
    return tag("div", table(failures.HEADS, rows, caption="Failures by cause"), class_="failures")


def _bundles(names: Sequence[str], findings: Findings) -> Markup | str:
    """Return links to bundles; those that are gone are named without one."""
    if not names:
        return NONE
    shown = [bundle_link(name, findings) for name in names[: failures.MAX_LINKS]]
    more = len(names) - failures.MAX_LINKS
    spaced = [part for link in shown for part in (", ", link)][1:]
    return joined([*spaced, f" and {more} more" if more > 0 else None])


def bundle_link(name: str, findings: Findings) -> Markup | str:
    """Return a relative link to a bundle, or its name where it is not there any more."""
    if not name:
        return ""
    if name not in findings.bundles:
        return f"{printable(name)} (missing)"
    return tag("a", printable(name), href=f"{failures.FOLDER}/{quote(name)}/")


def trial_table(findings: Findings) -> Markup:
    """Return every trial, ramps included; a long table is folded."""
    if not findings.records:
        return tag("p", "No trials yet.", class_="muted")
    heads = [
        "#trial",
        "stage",
        "#learning rate",
        "context",
        "outcome",
        "cause",
        "#first bad step",
        "#steps",
        "#seconds",
        *evaluation_head(findings),
        "message",
        "bundle",
    ]
    rows = [_trial_row(trial, findings) for trial in findings.records]
    names = [f"trial-{trial.plan.number}" for trial in findings.records]
    full = table(heads, rows, caption="Every trial", ids=names)
    is_open = "" if len(findings.records) <= OPEN_TRIALS else None
    summary = tag("summary", counted(len(findings.records), "trial"))
    return tag("details", summary, full, open=is_open, class_="trials")


def _trial_row(trial: TrialRecord, findings: Findings) -> tuple[Markup | str | int, ...]:
    plan, run_for = trial.plan, purpose(trial, findings)
    return (
        plan.number,
        "" if run_for == SEARCH else run_for,
        planned_rate(plan),
        plan.context.label,
        ended(trial),
        CAUSES[trial.cause] if trial.cause else "",
        NONE if trial.first_bad_step is None else trial.first_bad_step,
        trial.steps,
        f"{trial.startup_s + trial.train_s:.1f}",
        *evaluation_cell(trial, findings),
        printable(trial.message),
        bundle_link(trial.bundle, findings),
    )
