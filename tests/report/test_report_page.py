"""The report in headless Chromium: silent, inert, usable by mouse, finger and keyboard, and legible."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from report_samples import contexts_of, make_answer, make_findings, make_sweep, make_trial

from experiments.on_loopback.browser import Visit, visit
from stabsearch.frontier import Verdict
from stabsearch.records import Outcome
from stabsearch.report.findings import Findings
from stabsearch.report.html import report_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

HOSTILE = (
    "</script><script>document.title='owned'</script></title></style>"
    "<img src=x onerror=\"document.title='owned'\"><svg onload=\"document.title='owned'\">"
    "<a href=\"javascript:document.title='owned'\">click</a>\u202e\x1b[2J"
)
PHONE = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}
SIXTY = {
    "warmup": [0, 10, 20, 50, 100],
    "max_grad_norm": [0, 0.5, 1],
    "precision": ["fp32", "tf32", "bf16", "fp16"],
}


def only_failed() -> Findings:
    """Every trial failed, the baseline too."""
    sweep = make_sweep()
    context = contexts_of(sweep)[0].settings
    failed = tuple(make_trial(number, Outcome.NONFINITE, **context) for number in range(4))
    return replace(make_findings(4, sweep, answer=make_answer(Verdict.CANARY_FAILED)), records=failed)


def hostile() -> Findings:
    """Every text that a stranger can set is an attack."""
    sweep = make_sweep(training={"max_steps": 2000, "run_name": HOSTILE})
    trial = make_trial(
        0, Outcome.DIVERGED, message=HOSTILE, machine={HOSTILE: HOSTILE}, bundle="trial-0", warmup_steps=0,
        max_grad_norm=0.0, precision="fp32",
    )  # fmt: skip
    answer = make_answer(sentence=HOSTILE, caveats=(HOSTILE,), ended=HOSTILE)
    evidence = [{"rung": HOSTILE, "tried": HOSTILE, "seen": HOSTILE}]
    diagnosis = {"cause": HOSTILE, "sentence": HOSTILE, "advice": [HOSTILE], "evidence": evidence}
    findings = make_findings(8, sweep, answer=answer, command=HOSTILE, versions={HOSTILE: HOSTILE})
    return replace(findings, records=(trial, *findings.records[1:]), diagnosis=diagnosis)


SWEEPS: dict[str, Callable[[], Findings]] = {
    "usual": lambda: make_findings(60),
    "empty": lambda: make_findings(0, answer=make_answer(Verdict.NOT_ENOUGH_EVIDENCE)),
    "one trial": lambda: make_findings(1, answer=make_answer(Verdict.NOT_ENOUGH_EVIDENCE)),
    "only failed": only_failed,
    "nothing safe": lambda: make_findings(12, answer=make_answer(Verdict.NOTHING_SAFE)),
    "sixty contexts": lambda: make_findings(120, make_sweep(search=SIXTY)),
    "hostile": hostile,
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a report of each kind as a file, for a browser knows other rules for files than for texts."""
    folder = tmp_path_factory.mktemp("reports")
    found = {}
    for number, (name, make) in enumerate(SWEEPS.items()):
        found[name] = folder / f"{number}.html"
        found[name].write_text(report_html(make()), encoding="utf-8")
    return found


@pytest.fixture
def usual(browser: Browser, pages: dict[str, Path]) -> Iterator[Visit]:
    with visit(browser) as seen:
        seen.page.goto(pages["usual"].as_uri())
        yield seen


@pytest.mark.parametrize("name", SWEEPS)
def test_a_report_is_silent_and_asks_nobody(name: str, browser: Browser, pages: dict[str, Path]) -> None:
    """No error on the console, and no request but that for the page itself; on a phone it does not scroll
    sideways."""
    with visit(browser, **PHONE) as seen:
        seen.page.goto(pages[name].as_uri())
        assert seen.errors == []
        assert len(seen.requests) == 1
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hostile_texts_run_nothing_and_become_nothing(browser: Browser, pages: dict[str, Path]) -> None:
    """Also in the card of a trial, which a script fills."""
    with visit(browser) as seen:
        seen.page.goto(pages["hostile"].as_uri())
        seen.page.locator("a.point").first.focus()
        seen.page.locator("#card").wait_for(state="visible")
        alien = "img, iframe, [onerror], [onload], a[href^=javascript], script"
        count = seen.page.locator(alien).count()
        assert count == 1  # the page's own script
        assert "quickstart" in seen.page.title()
        assert "<script>" in seen.page.locator("#card").inner_text()
        assert "\u202e" not in seen.page.content()
        assert seen.errors == []


def test_the_answer_and_its_copy_button_are_there_without_scrolling(usual: Visit) -> None:
    """Sentence, risk, confirmation and the arguments stand on the first screen."""
    for place in ("h1", ".lead", ".facts", "[data-copy=arguments]"):
        box = usual.page.locator(place).first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 900


def test_the_button_copies_the_arguments(browser: Browser, pages: dict[str, Path]) -> None:
    with visit(browser, permissions=["clipboard-read", "clipboard-write"]) as seen:
        seen.page.goto(pages["usual"].as_uri())
        seen.page.get_by_role("button", name="Copy the TrainingArguments").click()
        copied = seen.page.evaluate("navigator.clipboard.readText()")
        assert copied == seen.page.locator("#arguments").text_content()
        assert "TrainingArguments(" in copied


def card_of(seen: Visit) -> str:
    seen.page.locator("#card").wait_for(state="visible")
    return seen.page.locator("#card").inner_text()


def test_a_mouse_over_a_trial_shows_its_settings_curve_cause_and_first_bad_step(usual: Visit) -> None:
    """And the card goes when the mouse does."""
    mark = usual.page.locator("a.point:has(path.nonfinite)").first
    number = str(mark.get_attribute("href")).removeprefix("#trial-")
    mark.scroll_into_view_if_needed()
    mark.hover()
    text = card_of(usual)
    assert f"trial {number} · nonfinite" in text
    for name in ("learning rate", "context", "cause", "first bad step"):
        assert name in text
    drawn = usual.page.locator("#card svg .curve path").first.get_attribute("d")
    assert drawn == usual.page.locator(f"#curve-{number} path").first.get_attribute("d")
    usual.page.mouse.move(5, 5)
    usual.page.locator("#card").wait_for(state="hidden")


def test_the_keyboard_walks_over_the_trials(usual: Visit) -> None:
    """One stop of Tab per panel, arrow keys within it, Escape closes, Enter goes to the trial's row."""
    page = usual.page
    assert page.locator('a.point[tabindex="0"]').count() == page.locator(".panels svg").count()
    page.locator('a.point[tabindex="0"]').first.focus()
    first = card_of(usual)
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.classList.contains('on')")
    assert card_of(usual) != first
    page.keyboard.press("Escape")
    page.locator("#card").wait_for(state="hidden")
    page.keyboard.press("Enter")
    target = page.locator("tr:target")
    target.wait_for(state="visible")
    assert f"#{target.get_attribute('id')}" == page.evaluate("location.hash")


def test_a_finger_holds_a_card_until_it_is_closed(browser: Browser, pages: dict[str, Path]) -> None:
    with visit(browser, **PHONE) as seen:
        seen.page.goto(pages["usual"].as_uri())
        mark = seen.page.locator("a.point").first
        mark.scroll_into_view_if_needed()
        box = mark.bounding_box()
        assert box is not None
        seen.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert "trial" in card_of(seen)
        seen.page.get_by_role("button", name="Close").tap()
        seen.page.locator("#card").wait_for(state="hidden")


def test_without_scripts_every_trial_is_a_link_to_its_row(browser: Browser, pages: dict[str, Path]) -> None:
    with visit(browser, java_script_enabled=False) as seen:
        seen.page.goto(pages["usual"].as_uri())
        assert seen.page.locator("a.point title").count() == 60
        assert seen.page.locator("#trial-0").count() == 1


@pytest.mark.parametrize("name", ["usual", "nothing safe", "one trial"])
@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_barrier(name: str, is_dark: bool, browser: Browser, pages: dict[str, Path]) -> None:
    """Contrast, names, order of headings, landmarks and the rest of WCAG 2.2 AA that a program can check."""
    from axe_playwright_python.sync_playwright import Axe

    with visit(browser, is_dark=is_dark, bypass_csp=True) as seen:
        seen.page.goto(pages[name].as_uri())
        if name == "usual":
            seen.page.locator('a.point[tabindex="0"]').first.focus()
            card_of(seen)
        found = Axe().run(seen.page)
        assert found.violations_count == 0, found.generate_report()


def test_a_dark_page_prints_on_white(browser: Browser, pages: dict[str, Path]) -> None:
    """And what only a screen needs is left out."""
    with visit(browser, is_dark=True) as seen:
        seen.page.goto(pages["usual"].as_uri())
        dark = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        seen.page.emulate_media(media="print")
        assert dark != seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not seen.page.locator("[data-copy]").first.is_visible()


@pytest.mark.parametrize("name", SWEEPS)
def test_nothing_is_cut_off_on_paper(name: str, browser: Browser, pages: dict[str, Path]) -> None:
    """Paper does not scroll: a table wider than A4 would lose its last columns."""
    with visit(browser, width=688) as seen:  # A4 less its margins, at 96 dpi
        seen.page.emulate_media(media="print")
        seen.page.goto(pages[name].as_uri())
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_every_curve_stands_beside_its_like(usual: Visit) -> None:
    """Stable trials in one picture, failed ones in the other, each as it is drawn in its context."""
    titles = usual.page.locator(".overview figcaption").all_inner_texts()
    counts = [int(re.match(r"\d+", title)[0]) for title in titles]  # type: ignore[index]
    drawn = [figure.locator("use").count() for figure in usual.page.locator(".overview figure").all()]
    assert counts == drawn
    assert all(usual.page.evaluate("[...document.querySelectorAll('use')].map(use => "
                                   "document.querySelector(use.getAttribute('href')) !== null)"))  # fmt: skip
