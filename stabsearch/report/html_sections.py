"""The sections of the page, in their order."""

from __future__ import annotations

from stabsearch.report import certainty, clipping, no_answer
from stabsearch.report.beside import beside, multiplied_text
from stabsearch.report.calibration_svg import calibration_figure
from stabsearch.report.clipping import clipping_table
from stabsearch.report.curves_svg import curve_figures
from stabsearch.report.failures import missing_text
from stabsearch.report.findings import Findings
from stabsearch.report.frontier_svg import frontier_figures
from stabsearch.report.html_answer import copyable, fact
from stabsearch.report.html_tables import (
    effects_table,
    extrapolated_table,
    failure_table,
    frontier_table,
    outcome_table,
    trial_table,
)
from stabsearch.report.markup import Markup, joined, table, tag
from stabsearch.report.recommended import recommended_arguments, render
from stabsearch.report.remarks import (
    contexts_in_words,
    ending_note,
    extrapolation_note,
    extrapolation_title,
    non_monotone_text,
    purposes_text,
)
from stabsearch.report.scaling_svg import scaling_figure
from stabsearch.report.wording import (
    confirmation_text,
    duration,
    percent,
    printable,
    recommended_title,
)


def sections(findings: Findings) -> Markup:
    """Return what stands below the answer; where there is none, why comes first."""
    return joined(
        [
            _why(findings),
            _gap(findings),
            _recommended(findings),
            _frontier(findings),
            _section("Frontier in numbers", "", frontier_table(findings)),
            _effects(findings),
            _extrapolated(findings),
            _endings(findings),
            _section(
                "Loss curves",
                "Raw training loss, nats per example, a line per trial, all on the same logarithmic axis.",
                curve_figures(findings),
            ),
            _scaling(findings),
            _clipping(findings),
            _calibration(findings),
            _confirmation(findings),
            _caveats(findings),
            _section("Trials", purposes_text(findings), trial_table(findings)),
            _section("Cost", "", _cost(findings)),
            _section("Environment and command", "", _environment(findings)),
        ]
    )


def _section(title: str, note: str, *content: Markup | None) -> Markup:
    return tag("section", tag("h2", title), tag("p", note, class_="muted") if note else None, content)


def _why(findings: Findings) -> Markup | None:
    """Return the diagnosis of a sweep that found nothing safe."""
    found = findings.diagnosis
    if found is None:
        return None
    rows = [
        (printable(each["rung"]), printable(each["tried"]), printable(each["seen"]))
        for each in found["evidence"]
    ]
    advice = tag("ul", *[tag("li", printable(text)) for text in found["advice"]])
    return _section(
        "Why",
        f"Cause: {printable(found['cause'] or 'none')}. {printable(found['sentence'])}",
        advice,
        table(("Rung", "Tried", "Seen"), rows, caption="Evidence, from the cheapest check to the dearest"),
    )


def _gap(findings: Findings) -> Markup | None:
    """Return what the trials of a sweep without an answer lack."""
    title = no_answer.gap_title(findings)
    if not title:
        return None
    rows, heads = no_answer.gap_rows(findings), no_answer.gap_heads(findings)
    return _section(title, no_answer.gap_text(findings), table(heads, rows, caption=title) if rows else None)


def _recommended(findings: Findings) -> Markup | None:
    recommendation = findings.answer.recommendation
    if recommendation is None:
        return None
    arguments = recommended_arguments(findings.sweep, recommendation, findings.answer.max_steps)
    needed = beside(findings.sweep, recommendation.context, findings.records)
    rest = " What stands below them there is no place for." if needed else ""
    note = f"Also in recommended.json, which HfArgumentParser reads.{rest}"
    code = copyable(render(arguments, "python", needed), "arguments", "the TrainingArguments")
    return _section(recommended_title(findings.answer), note, code)


def _frontier(findings: Findings) -> Markup:
    note = (
        f"The highest learning rate within the stated risk, per {contexts_in_words(findings)}. "
        f"{printable(findings.answer.ended)} Every mark is a trial: point at it, tap it, or reach it with "
        "Tab and the arrow keys, and it shows its settings, its loss curve and why it ended."
    )
    return _section("Frontier", note, _flagged(findings), frontier_figures(findings))


def _flagged(findings: Findings) -> Markup | None:
    text = non_monotone_text(findings)
    return tag("p", text, class_="flagged") if text else None


def _effects(findings: Findings) -> Markup | None:
    effects = findings.frontier.effects
    confidence = percent(findings.sweep.risk.confidence)
    note = (
        "By what factor a setting moves the safe learning rate, all else equal: median and "
        f"{confidence} credible interval. Left of ×1 it lowers it, right of ×1 it raises it."
    )
    return _section("What each setting buys", note, effects_table(effects)) if effects else None


def _extrapolated(findings: Findings) -> Markup | None:
    title = extrapolation_title(findings)
    if not title:
        return None
    return _section(title, extrapolation_note(findings), extrapolated_table(findings))


def _endings(findings: Findings) -> Markup:
    missing = missing_text(findings)
    failed = failure_table(findings)
    return _section(
        "How trials ended",
        ending_note(findings),
        outcome_table(findings),
        joined([tag("h3", "Failures by cause"), failed]) if failed else None,
        tag("p", missing, class_="muted") if missing else None,
    )


def _scaling(findings: Findings) -> Markup | None:
    note = (
        "The scaler halves its scale and skips the update wherever scaled gradients overflow, and doubles it "
        "after a long stretch without. A few skipped updates are normal; a scale that falls to its "
        "floor is not."
    )
    figure = scaling_figure(findings)
    return _section("Loss scale and skipped steps, fp16", note, figure) if figure else None


def _clipping(findings: Findings) -> Markup | None:
    shown = clipping_table(findings)
    return _section("Clipped updates", clipping.NOTE, shown) if shown else None


def _calibration(findings: Findings) -> Markup | None:
    text = certainty.calibration_text(findings)
    if not text:
        return None
    rows = certainty.calibration_rows(findings)
    numbers = table(certainty.CALIBRATION_HEADS, rows, caption="Failures expected and observed")
    both = tag("div", calibration_figure(findings.calibration), numbers, class_="beside")
    return _section("Calibration", text, both)


def _confirmation(findings: Findings) -> Markup | None:
    text = confirmation_text(findings.answer, findings.sweep.risk.confidence)
    rows = certainty.confirmation_rows(findings)
    seeds = table(certainty.CONFIRMATION_HEADS, rows, caption="Confirmation trials") if rows else None
    return _section("Confirmation", "", tag("p", text) if text else None, seeds) if text or rows else None


def _caveats(findings: Findings) -> Markup | None:
    said = filter(None, (*findings.answer.caveats, multiplied_text(findings.records)))
    caveats = [tag("li", printable(caveat)) for caveat in said]
    return _section("What this does not show", "", tag("ul", caveats)) if caveats else None


def _cost(findings: Findings) -> Markup:
    cost, grid = findings.cost, certainty.grid_text(findings)
    numbers = tag(
        "dl",
        fact("optimizer steps", f"{cost.steps:,}"),
        fact("in training", duration(cost.train_s), f"{percent(cost.training_share)} of worker time"),
        fact("starting up", duration(cost.startup_s), percent(cost.share(cost.startup_s))),
        fact("between trials", duration(cost.between_s), percent(cost.share(cost.between_s))),
        fact("from first start to last end", duration(cost.span_s)),
        class_="facts",
    )
    return joined([numbers, tag("p", grid) if grid else None])


def _environment(findings: Findings) -> Markup:
    rows = [(printable(name), printable(value)) for name, value in findings.environment.items()]
    listed = table(["what", "value"], rows, caption="Environment") if rows else None
    command = copyable(printable(findings.command), "command", "the command") if findings.command else None
    return joined([command, listed])
