"""The page: answer first, complete, inert, offline."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import make_answer, make_findings, make_island, make_ramp, make_sweep, make_trial

from stabsearch.frontier import Verdict
from stabsearch.frontier.answer import Extrapolated
from stabsearch.records import Context, Outcome
from stabsearch.report.findings import Findings
from stabsearch.report.html import report_html
from stabsearch.report.html_tables import trial_table
from stabsearch.report.markup import tag
from stabsearch.report.wording import HEADINGS

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\x1b[2J'
VOID = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """Elements, attributes and texts of a page; fails on a tag that is not closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def count(self, name: str) -> int:
        return sum(element == name for element, _ in self.elements)


def hostile_findings() -> Findings:
    sweep = make_sweep(training={"max_steps": 2000, "run_name": HOSTILE})
    trial = make_trial(0, Outcome.DIVERGED, message=HOSTILE, machine={HOSTILE: HOSTILE})
    answer = make_answer(sentence=HOSTILE, caveats=(HOSTILE,), ended=HOSTILE)
    findings = make_findings(8, sweep, answer=answer, command=HOSTILE, versions={HOSTILE: HOSTILE})
    return replace(findings, records=(trial, *findings.records[1:]))


def test_hostile_text_is_inert() -> None:
    """Texts from trials, data and settings never become elements or attributes."""
    page = Page(report_html(hostile_findings()))
    assert page.count("script") == 1
    assert page.count("img") == 0
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "\x1b" not in "".join(page.texts)


def test_loads_nothing_from_anywhere() -> None:
    """Links lead within the page or to the folder beside it, and a policy forbids everything else."""
    source = report_html(make_findings(30))
    assert not re.search(r"""(src|action)=|href="(?!#|bad_batches/)|url\((?!#)|@import|https?:""", source)


def test_lets_only_its_own_script_run() -> None:
    """The policy forbids everything, and names the one script by its content."""
    page = Page(report_html(make_findings(3)))
    policy = next(found["content"] for _, found in page.elements if "http-equiv" in found)
    script = next(text for text in page.texts if "data-copy" in text)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("verdict", Verdict)
def test_says_the_answer_before_anything_else(verdict: Verdict) -> None:
    """Headline, sentence and next step stand above every section."""
    answer = make_answer(verdict, sentence="THE ANSWER.")
    source = report_html(make_findings(12, answer=answer))
    body = source[source.index("<body") :]
    first_section = body.index("<section")
    for text in (HEADINGS[verdict], "THE ANSWER.", "Next: "):
        assert 0 < body.index(text) < first_section


def test_unconfirmed_settings_say_so_where_they_are_copied() -> None:
    """Whoever copies the arguments has seen the label."""
    assert "(unconfirmed)" in report_html(make_findings(12, answer=make_answer(Verdict.UNCONFIRMED)))
    assert "(unconfirmed)" not in report_html(make_findings(12))


def test_without_a_recommendation_there_is_nothing_to_copy_but_the_command() -> None:
    """No arguments are shown when nothing is safe."""
    source = report_html(make_findings(12, answer=make_answer(Verdict.NOTHING_SAFE)))
    assert "TrainingArguments(" not in source


def test_every_trial_is_a_mark_with_a_text() -> None:
    """Points can be read without seeing them."""
    findings = make_findings(30)
    source = report_html(findings)
    assert len(re.findall(r"<title>trial \d+ · learning rate", source)) == 30


def test_a_ramp_is_listed_but_no_mark() -> None:
    """It is no evidence: neither a point nor a curve, and its rate is named with both ends."""
    findings = make_findings(8)
    source = report_html(replace(findings, records=(*findings.records, make_ramp(8))))
    assert "<title>trial 8" not in source
    assert "1.0e-5 to 1.0e0" in source


def test_the_loss_on_held_out_rows_is_shown_where_there_is_one() -> None:
    """A column of the trials, which their cards copy; without an evaluation it is not there."""
    findings = make_findings(8)
    assert "evaluation loss" not in trial_table(findings)
    first, *others = findings.records
    table = trial_table(replace(findings, records=(replace(first, eval_loss=0.41234), *others)))
    assert table.count('<th scope="col" class="number">evaluation loss</th>') == 1
    assert table.count('<td class="number">0.412</td>') == 1


def test_what_each_setting_buys_is_drawn_and_said() -> None:
    """One picture per effect, whose text is the sentence; no section without effects."""
    source = report_html(make_findings(60))
    assert len(re.findall(r'role="img" class="(?:un)?clear"><title>[^<]+pairs of contexts', source)) == 3
    assert "What each setting buys" not in report_html(make_island())


def test_trials_that_contradict_the_frontier_are_ringed() -> None:
    """Five of them, and the one in the legend; none where nothing is flagged."""
    assert report_html(make_island()).count('class="ring"') == 6
    assert 'class="ring"' not in report_html(make_findings(60))


def test_says_why_the_search_ended_and_what_is_only_extrapolated() -> None:
    """The label stands in the heading of what was not measured."""
    far = (Extrapolated(Context("bf16", 100, 1.0), 1e-3, 5e-4, 2e-3),)
    source = report_html(make_findings(8, answer=make_answer(ended="THE END.", extrapolated=far)))
    assert "THE END." in source
    assert "<h2>Over the full run: extrapolated, not measured</h2>" in source


def test_every_picture_has_a_text() -> None:
    """An image role always comes with a title."""
    source = report_html(make_findings(30))
    assert source.count('role="img"') == len(re.findall(r'role="img"[^>]*><title>', source)) > 0


def test_five_hundred_trials_stay_below_three_megabytes() -> None:
    """The page of a large sweep still opens at once."""
    search = {"warmup": [0, 50, 100, 200, 400], "max_grad_norm": [0, 0.5, 1.0], "precision": ["fp32", "bf16"]}
    assert len(report_html(make_findings(500, make_sweep(search=search)))) < 3_000_000


@pytest.mark.parametrize("num_trials", [0, 1])
def test_tiny_sweeps_are_well_formed(num_trials: int) -> None:
    """No trials, or one, still give a page whose every element is closed."""
    Page(report_html(make_findings(num_trials, answer=make_answer(Verdict.NOT_ENOUGH_EVIDENCE))))


@given(st.text(), st.text())
def test_texts_and_attributes_come_back_as_they_were(text: str, value: str) -> None:
    """Escaping loses nothing and lets nothing through."""
    page = Page(tag("p", text, title=value))
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    assert page.count("p") == len(page.elements) == 1
    assert "".join(page.texts).replace("\r\n", "\n").replace("\r", "\n") == normal
    assert page.elements[0][1]["title"] == value
