"""The Markdown report."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from report_samples import make_answer, make_findings, make_island, make_trial

from stabsearch.frontier import Verdict
from stabsearch.frontier.answer import Extrapolated
from stabsearch.records import Context, Outcome
from stabsearch.report.markdown import escaped, report_markdown


@given(st.text())
def test_escaped_text_is_one_plain_line(text: str) -> None:
    """No character of a user's text can open markup, HTML, a link or a table cell."""
    line = escaped(text)
    assert "\n" not in line
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]<>|]", line)


def test_keeps_the_order_of_the_page() -> None:
    """Answer, settings, picture, effects, outcomes, confirmation, caveats, trials, cost, environment."""
    far = (Extrapolated(Context("bf16", 100, 1.0), 1e-3, 5e-4, 2e-3),)
    findings = make_findings(12, answer=make_answer(extrapolated=far))
    headings = re.findall(r"^#+ (.*)$", report_markdown(findings), re.MULTILINE)
    assert headings[1:] == [
        "Recommended TrainingArguments", "Frontier", "What each setting buys",
        "Over the full run: extrapolated, not measured", "How trials ended", "Failures by cause",
        "Clipped updates", "Calibration", "Confirmation", "What this does not show", "Trials", "Cost",
        "Environment and command",
    ]  # fmt: skip


def test_says_why_the_search_ended_and_flags_what_contradicts_it() -> None:
    """Above the table that they are about."""
    text = report_markdown(make_island(answer=make_answer(ended="THE END.")))
    places = [text.index(words) for words in ("THE END", "⚠ In fp32", "boundary found ⚠ non-monotone")]
    assert places == sorted(places)


def test_no_effect_has_no_section() -> None:
    """A single context has nothing to be compared with."""
    assert "What each setting buys" not in report_markdown(make_island())


def test_the_loss_on_held_out_rows_is_shown_where_there_is_one() -> None:
    """A column of the trials; without an evaluation it is not there."""
    findings = make_findings(8)
    assert "evaluation loss" not in report_markdown(findings)
    first, *others = findings.records
    text = report_markdown(replace(findings, records=(replace(first, eval_loss=0.41234), *others)))
    heads, row = (
        next(line for line in text.splitlines() if line.startswith(start)) for start in ("| trial |", "| 0 |")
    )
    assert [*map(str.strip, row.split("|"))][
        [*map(str.strip, heads.split("|"))].index("evaluation loss")
    ] == "0.412"


def test_a_hostile_message_stays_in_its_cell() -> None:
    """A pipe or a line break does not add a column or a row."""
    findings = make_findings(1, records=(make_trial(0, Outcome.DIVERGED, message="a | b\n| c <b>"),))
    rows = [line for line in report_markdown(findings).splitlines() if line.startswith("| 0 |")]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 11


def test_a_fence_in_the_command_does_not_end_the_block() -> None:
    """The block's own fence is longer."""
    assert "````sh" in report_markdown(make_findings(1, command="echo ```"))


def test_no_trials_give_a_report() -> None:
    """A sweep that has not begun says so."""
    answer = make_answer(Verdict.NOT_ENOUGH_EVIDENCE)
    assert "No trials yet." in report_markdown(make_findings(0, answer=answer))
