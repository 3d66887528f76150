"""The head of the page: the answer, or what to do where there is none."""

from __future__ import annotations

from stabsearch.report.certainty import basis_text, is_confirmed_text
from stabsearch.report.findings import Findings
from stabsearch.report.markup import Markup, joined, tag
from stabsearch.report.no_answer import next_command
from stabsearch.report.wording import (
    HEADINGS,
    NONE,
    SYMBOLS,
    TONES,
    next_step,
    percent,
    printable,
)


def answer_box(findings: Findings) -> Markup:
    """Return the answer in a sentence and what it rests on; where there is none, the next step first."""
    answer = findings.answer
    tone = TONES[answer.verdict]
    sign = tag("span", f"{SYMBOLS[tone]} ", aria_hidden="true")
    lead = tag("p", printable(answer.sentence), class_="lead")
    basis = basis_text(findings)
    step = next_step(findings.sweep, answer, findings.records)
    then = tag("p", tag("strong", "Next: "), step, class_="next")
    told = [lead, tag("p", basis, class_="basis")] if basis else [lead]
    parts = [*told, then] if answer.recommendation else [then, _go_on(findings), *told]
    return tag("div", tag("h1", sign, HEADINGS[answer.verdict]), parts, class_=f"answer {tone}")


def _go_on(findings: Findings) -> Markup | None:
    """Return the command for the next step, to be copied."""
    command = next_command(findings)
    return copyable(command, "next-command", "the command") if command else None


def copyable(text: str, name: str, what: str) -> Markup:
    """Return text in a box with a button that copies it.

    Args:
        text: shown as it is.
        name: what the box is called within the page.
        what: is copied, for those who hear the button.
    """
    code = tag("pre", tag("code", text, id=name), tabindex=0)
    button = tag("button", "Copy", type="button", data_copy=name, aria_label=f"Copy {what}")
    return tag("div", button, code, class_="code")


def fact(name: str, value: str, detail: str = "") -> Markup:
    """Return one number with its name and what there is to say of it."""
    return tag("div", tag("dt", name), tag("dd", value, tag("small", detail) if detail else None))


def facts(findings: Findings) -> Markup:
    """Return the numbers behind the answer."""
    answer = findings.answer
    share = percent(answer.horizon / answer.max_steps) if answer.max_steps else NONE
    risk = findings.sweep.risk
    common = [
        fact("measured up to", f"step {answer.horizon:,}", f"{share} of the run's {answer.max_steps:,}"),
        fact("trials", f"{len(findings.records):,}", f"{findings.num_failed} failed"),
        fact(
            "allowed risk", percent(risk.max_failure_probability), f"at {percent(risk.confidence)} confidence"
        ),
    ]
    return tag("dl", joined([*_of_the_best(findings), *common]), class_="facts")


def _of_the_best(findings: Findings) -> list[Markup]:
    best = findings.answer.recommendation
    if best is None:
        return []
    chance = f"{percent(best.probability_low)} to {percent(best.probability_high)}"
    return [
        fact("learning rate", f"{best.learning_rate:.3g}", best.context.label),
        fact("failure probability", percent(best.failure_probability), chance),
        fact("confirmed", *is_confirmed_text(findings)),
    ]
