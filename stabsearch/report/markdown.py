"""``report.md``: the same answer for terminals, pull requests and wikis."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from stabsearch.report import certainty, clipping, failures, no_answer, scaling_svg
from stabsearch.report.beside import beside, multiplied_text
from stabsearch.report.findings import Findings
from stabsearch.report.knobs import direction, fold, fold_interval, setting
from stabsearch.report.no_answer import next_command
from stabsearch.report.recommended import recommended_arguments, render
from stabsearch.report.remarks import (
    contexts_in_words,
    ending_note,
    evaluation_cell,
    evaluation_head,
    extrapolated_interval,
    extrapolation_note,
    extrapolation_title,
    non_monotone_text,
    purpose,
    purposes_text,
    verdict_words,
)
from stabsearch.report.wording import (
    CAUSES,
    HEADINGS,
    NONE,
    OUTCOMES,
    SYMBOLS,
    TONES,
    confirmation_text,
    counted,
    duration,
    ended,
    next_step,
    percent,
    planned_rate,
    printable,
    rate,
    rate_interval,
    recommended_title,
)

FRONTIER_PICTURE = "frontier.png"


def report_markdown(findings: Findings) -> str:
    """Return the report as Markdown, in the order of the page."""
    parts = [
        *_answer(findings),
        *_why(findings),
        *_gap(findings),
        *_recommended(findings),
        "## Frontier",
        f"![Frontier: safe learning rate per {contexts_in_words(findings)}]({FRONTIER_PICTURE})",
        escaped(findings.answer.ended),
        escaped(non_monotone_text(findings)),
        _frontier_table(findings),
        *_effects(findings),
        *_extrapolated(findings),
        "## How trials ended",
        escaped(ending_note(findings)),
        _outcome_table(findings),
        *_failures(findings),
        *_scaling(findings),
        *_clipping(findings),
        *_calibration(findings),
        *_confirmation(findings),
        *_caveats(findings),
        "## Trials",
        purposes_text(findings),
        _trial_table(findings),
        "## Cost",
        _cost(findings),
        escaped(certainty.grid_text(findings)),
        "## Environment and command",
        *_environment(findings),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _why(findings: Findings) -> list[str]:
    """Return the diagnosis of a sweep that found nothing safe."""
    found = findings.diagnosis
    if found is None:
        return []
    rows = [(each["rung"], each["tried"], each["seen"]) for each in found["evidence"]]
    return [
        "## Why",
        f"Cause: **{escaped(found['cause'] or 'none')}**. {escaped(found['sentence'])}",
        "\n".join(f"- {escaped(advice)}" for advice in found["advice"]),
        table(("Rung", "Tried", "Seen"), rows),
    ]


def escaped(text: str) -> str:
    """Return text on one line in which no character is Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&])", r"\\\1", printable(text))


class _Raw(str):
    """Text that is Markdown already."""

    __slots__ = ()


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; a head that starts with ``#`` marks a column of numbers. Cells are escaped."""
    lines = [
        [head.removeprefix("#") for head in heads],
        ["--:" if h.startswith("#") else "---" for h in heads],
    ]
    lines += [[cell if isinstance(cell, _Raw) else escaped(str(cell)) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _fenced(text: str, language: str = "") -> str:
    """Return a code block with a fence longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _answer(findings: Findings) -> list[str]:
    answer = findings.answer
    heading = f"{SYMBOLS[TONES[answer.verdict]]} {HEADINGS[answer.verdict]}"
    told = [f"**{escaped(answer.sentence)}**", escaped(certainty.basis_text(findings))]
    then = [f"Next: {escaped(next_step(findings.sweep, answer, findings.records))}"]
    title = f"# {escaped(findings.sweep.name)}: {heading}"
    if answer.recommendation:
        return [title, *told, *then]
    command = next_command(findings)
    return [title, *then, *([_fenced(command, "sh")] if command else []), *told]


def _gap(findings: Findings) -> list[str]:
    """Return what the trials of a sweep without an answer lack."""
    title = no_answer.gap_title(findings)
    if not title:
        return []
    rows = no_answer.gap_rows(findings)
    numbers = [table(no_answer.gap_heads(findings), rows)] if rows else []
    return [f"## {title}", escaped(no_answer.gap_text(findings)), *numbers]


def _recommended(findings: Findings) -> list[str]:
    recommendation = findings.answer.recommendation
    if recommendation is None:
        return []
    arguments = recommended_arguments(findings.sweep, recommendation, findings.answer.max_steps)
    needed = beside(findings.sweep, recommendation.context, findings.records)
    text = render(arguments, "python", needed)
    return [f"## {recommended_title(findings.answer)}", _fenced(text, "python")]


def _frontier_table(findings: Findings) -> str:
    if not findings.rows:
        return "No context has a frontier yet."
    rows = [
        (
            row.context.label,
            rate(row.lr_safe),
            rate_interval(row.lr_low, row.lr_high),
            row.num_trials,
            row.num_failed,
            verdict_words(row),
        )
        for row in findings.rows
    ]
    return table(["context", "#frontier", "#credible interval", "#trials", "#failed", "verdict"], rows)


def _effects(findings: Findings) -> list[str]:
    rows = [
        (
            setting(effect.factor, effect.value),
            setting(effect.factor, effect.baseline),
            fold(effect.ratio),
            fold_interval(effect),
            effect.num_pairs,
            direction(effect),
        )
        for effect in findings.frontier.effects
    ]
    confidence = percent(findings.sweep.risk.confidence)
    heads = ["setting", "against", "#safe learning rate", f"#{confidence} interval", "#pairs of contexts", ""]
    return ["## What each setting buys", table(heads, rows)] if rows else []


def _extrapolated(findings: Findings) -> list[str]:
    answer = findings.answer
    rows = [
        (each.context.label, rate(each.learning_rate), extrapolated_interval(each))
        for each in answer.extrapolated
    ]
    heads = ["context", f"#extrapolated to step {answer.max_steps:,}", "#credible interval"]
    title = f"## {extrapolation_title(findings)}"
    return [title, escaped(extrapolation_note(findings)), table(heads, rows)] if rows else []


def _outcome_table(findings: Findings) -> str:
    if not findings.counted:
        return "No trials yet."
    rows = [(outcome.value, count, OUTCOMES[outcome]) for outcome, count in findings.outcomes.items()]
    return table(["outcome", "#trials", "meaning"], rows)


def _failures(findings: Findings) -> list[str]:
    """Return what failed and why; names of bundles are links where the bundles are there."""
    rows = [
        (
            *each.cells,
            _Raw(", ".join(_bundle(name, findings) for name in each.bundles[: failures.MAX_LINKS]) or NONE),
            each.example,
        )
        for each in failures.failures_of(findings)
    ]
    if not rows:
        return []
    return ["### Failures by cause", table(failures.HEADS, rows), escaped(failures.missing_text(findings))]


def _bundle(name: str, findings: Findings) -> str:
    """Return a link to a bundle, or its name where it is not there any more."""
    if name not in findings.bundles:
        return f"{escaped(name)} (missing)" if name else ""
    return f"[{escaped(name)}]({failures.FOLDER}/{quote(name)}/)"


def _scaling(findings: Findings) -> list[str]:
    rows = scaling_svg.scaling_rows(findings)
    return ["## Loss scale and skipped steps, fp16", table(scaling_svg.HEADS, rows)] if rows else []


def _clipping(findings: Findings) -> list[str]:
    rows = clipping.clipping_rows(findings)
    return ["## Clipped updates", escaped(clipping.NOTE), table(clipping.HEADS, rows)] if rows else []


def _calibration(findings: Findings) -> list[str]:
    text = certainty.calibration_text(findings)
    rows = certainty.calibration_rows(findings)
    return ["## Calibration", escaped(text), table(certainty.CALIBRATION_HEADS, rows)] if text else []


def _confirmation(findings: Findings) -> list[str]:
    text = confirmation_text(findings.answer, findings.sweep.risk.confidence)
    rows = certainty.confirmation_rows(findings)
    seeds = [table(certainty.CONFIRMATION_HEADS, rows)] if rows else []
    return ["## Confirmation", escaped(text), *seeds] if text or rows else []


def _caveats(findings: Findings) -> list[str]:
    caveats = tuple(filter(None, (*findings.answer.caveats, multiplied_text(findings.records))))
    listed = "\n".join(f"- {escaped(caveat)}" for caveat in caveats)
    return ["## What this does not show", listed] if caveats else []


def _trial_table(findings: Findings) -> str:
    if not findings.records:
        return "No trials yet."
    rows = [
        (
            trial.plan.number,
            purpose(trial, findings),
            planned_rate(trial.plan),
            trial.plan.context.label,
            ended(trial),
            CAUSES[trial.cause] if trial.cause else "",
            NONE if trial.first_bad_step is None else trial.first_bad_step,
            trial.steps,
            *evaluation_cell(trial, findings),
            trial.message,
            _Raw(_bundle(trial.bundle, findings)),
        )
        for trial in findings.records
    ]
    heads = [
        "#trial",
        "stage",
        "#learning rate",
        "context",
        "outcome",
        "cause",
        "#first bad step",
        "#steps",
        *evaluation_head(findings),
        "message",
        "bundle",
    ]
    return table(heads, rows)


def _cost(findings: Findings) -> str:
    cost = findings.cost
    return (
        f"{counted(len(findings.records), 'trial')}, {counted(cost.steps, 'optimizer step')}; "
        f"{duration(cost.train_s)} in training ({percent(cost.training_share)} of worker time), "
        f"{duration(cost.startup_s)} starting up ({percent(cost.share(cost.startup_s))}), "
        f"{duration(cost.between_s)} between trials ({percent(cost.share(cost.between_s))}), "
        f"{duration(cost.span_s)} from first start to last end."
    )


def _environment(findings: Findings) -> list[str]:
    rows = findings.environment.items()
    command = [_fenced(printable(findings.command), "sh")] if findings.command else []
    return [*command, *([table(["what", "value"], rows)] if rows else [])]
