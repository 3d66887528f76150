"""``report.html``: one page that works offline, with the answer first and the detail below."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from stabsearch.report.beside import beside, multiplied_text
from stabsearch.report.curves_svg import curve_figures
from stabsearch.report.findings import Findings
from stabsearch.report.frontier_svg import frontier_figures
from stabsearch.report.html_tables import (
    effects_table,
    extrapolated_table,
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
from stabsearch.report.wording import (
    HEADINGS,
    NONE,
    SYMBOLS,
    TONES,
    confirmation_text,
    counted,
    duration,
    next_step,
    percent,
    printable,
    rate,
    recommended_title,
)


def report_html(findings: Findings) -> str:
    """Return the whole page; it loads nothing and runs nothing but its own copy button."""
    style, script = asset("page.css"), asset("page.js")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{findings.sweep.name}: {HEADINGS[findings.answer.verdict]}"),
        tag("style", Markup(style)),
    )
    top = tag("header", tag("p", _running_head(findings)), _answer(findings))
    body = tag(
        "body", top, tag("main", _sections(findings)), _footer(findings), tag("script", Markup(script))
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def asset(name: str) -> str:
    """Return the text of a file that belongs to the page."""
    return files("stabsearch.report").joinpath(name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Return a policy that lets nothing in but this page's own style and script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"


def _running_head(findings: Findings) -> str:
    return f"stabsearch report · {findings.sweep.name} · {counted(len(findings.records), 'trial')}"


def _answer(findings: Findings) -> Markup:
    answer = findings.answer
    tone = TONES[answer.verdict]
    sign = tag("span", f"{SYMBOLS[tone]} ", aria_hidden="true")
    step = next_step(findings.sweep, answer, findings.records)
    return tag(
        "div",
        tag("h1", sign, HEADINGS[answer.verdict]),
        tag("p", printable(answer.sentence), class_="lead"),
        tag("p", tag("strong", "Next: "), step),
        class_=f"answer {tone}",
    )


def _why(findings: Findings) -> Markup:
    """Return the diagnosis of a sweep that found nothing safe."""
    found = findings.diagnosis
    if found is None:
        return Markup("")
    rows = [(each["rung"], printable(each["tried"]), printable(each["seen"])) for each in found["evidence"]]
    advice = tag("ul", *[tag("li", printable(text)) for text in found["advice"]])
    return _section(
        "Why",
        f"Cause: {found['cause'] or 'none'}. {printable(found['sentence'])}",
        advice,
        table(("Rung", "Tried", "Seen"), rows, caption="Evidence, from the cheapest check to the dearest"),
    )


def _sections(findings: Findings) -> Markup:
    sections = [
        _why(findings),
        _facts(findings),
        _recommended(findings),
        _section(
            "Frontier",
            f"The highest learning rate within the stated risk, per {contexts_in_words(findings)}. "
            f"{printable(findings.answer.ended)}",
            _flagged(findings),
            frontier_figures(findings),
        ),
        _section("Frontier in numbers", "", frontier_table(findings)),
        _effects(findings),
        _extrapolated(findings),
        _section("How trials ended", ending_note(findings), outcome_table(findings)),
        _section(
            "Loss curves",
            "Raw training loss, nats per example, one line per trial, all on the same axes.",
            curve_figures(findings),
        ),
        _confirmation(findings),
        _caveats(findings),
        _section("Trials", purposes_text(findings), trial_table(findings)),
        _section("Cost", "", _cost(findings)),
        _section("Environment and command", "", _environment(findings)),
    ]
    return joined(sections)


def _section(title: str, note: str, *content: Markup | None) -> Markup:
    return tag("section", tag("h2", title), tag("p", note, class_="muted") if note else None, content)


def _fact(name: str, value: str, detail: str = "") -> Markup:
    return tag("div", tag("dt", name), tag("dd", value, tag("small", detail) if detail else None))


def _facts(findings: Findings) -> Markup:
    answer, facts = findings.answer, []
    if answer.recommendation:
        best = answer.recommendation
        chance = f"{percent(best.probability_low)} to {percent(best.probability_high)}"
        facts = [
            _fact("learning rate", rate(best.learning_rate), best.context.label),
            _fact("failure probability", percent(best.failure_probability), chance),
        ]
    share = percent(answer.horizon / answer.max_steps) if answer.max_steps else NONE
    facts += [
        _fact("measured up to", f"step {answer.horizon:,}", f"{share} of the run's {answer.max_steps:,}"),
        _fact("trials", f"{len(findings.records):,}", f"{findings.num_failed} failed"),
        _fact("allowed risk", percent(findings.sweep.risk.max_failure_probability),
              f"at {percent(findings.sweep.risk.confidence)} confidence"),
    ]  # fmt: skip
    return tag("dl", facts, class_="facts")


def _recommended(findings: Findings) -> Markup | None:
    recommendation = findings.answer.recommendation
    if recommendation is None:
        return None
    arguments = recommended_arguments(findings.sweep, recommendation, findings.answer.max_steps)
    needed = beside(findings.sweep, recommendation.context, findings.records)
    code = tag("pre", tag("code", render(arguments, "python", needed), id="arguments"), tabindex=0)
    button = tag("button", "Copy", type="button", data_copy="arguments", aria_live="polite")
    rest = " What stands below them there is no place for." if needed else ""
    note = f"Also in recommended.json, which HfArgumentParser reads.{rest}"
    return _section(recommended_title(findings.answer), note, tag("div", button, code, class_="code"))


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


def _confirmation(findings: Findings) -> Markup | None:
    text = confirmation_text(findings.answer, findings.sweep.risk.confidence)
    return _section("Confirmation", "", tag("p", text)) if text else None


def _caveats(findings: Findings) -> Markup | None:
    said = filter(None, (*findings.answer.caveats, multiplied_text(findings.records)))
    caveats = [tag("li", printable(caveat)) for caveat in said]
    return _section("What this does not show", "", tag("ul", caveats)) if caveats else None


def _cost(findings: Findings) -> Markup:
    cost = findings.cost
    return tag(
        "dl",
        _fact("optimizer steps", f"{cost.steps:,}"),
        _fact("in training", duration(cost.train_s), f"{percent(cost.training_share)} of worker time"),
        _fact("starting up", duration(cost.startup_s), percent(cost.share(cost.startup_s))),
        _fact("between trials", duration(cost.between_s), percent(cost.share(cost.between_s))),
        _fact("from first start to last end", duration(cost.span_s)),
        class_="facts",
    )


def _environment(findings: Findings) -> Markup:
    known = findings.environment.items()
    rows = [(printable(name), printable(value)) for name, value in known]
    listed = table(["what", "value"], rows, caption="Environment") if rows else None
    button = tag("button", "Copy", type="button", data_copy="command")
    command = tag("pre", tag("code", printable(findings.command), id="command"), tabindex=0)
    return joined([tag("div", button, command, class_="code") if findings.command else None, listed])


def _footer(findings: Findings) -> Markup:
    text = (
        f"A stated probability holds up to step {findings.answer.horizon:,} of the run, on this model, data "
        "and batch size. The trials stand in trials.csv, the frontier in frontier.json, beside this page."
    )
    return tag("footer", tag("p", text))
