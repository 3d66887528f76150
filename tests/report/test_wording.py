"""Words and numbers."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import make_answer, make_sweep, make_trial

from stabsearch.frontier import Confirmation, Verdict
from stabsearch.frontier.verdict import ContextVerdict
from stabsearch.records import Cause, Outcome
from stabsearch.report import wording
from stabsearch.report.wording import next_step, printable, rate


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (Outcome, wording.OUTCOMES),
        (Cause, wording.CAUSES),
        (Verdict, wording.HEADINGS),
        (Verdict, wording.TONES),
        (ContextVerdict, wording.CONTEXT_VERDICTS),
    ],
)
def test_everything_has_a_word(names: type, words: dict[object, str]) -> None:
    """A name that is added later fails here until it is put into words."""
    assert set(words) == set(names)


@given(st.floats(1e-12, 1e3))
def test_a_rate_is_within_five_percent(learning_rate: float) -> None:
    """Two digits lose at most five percent."""
    assert float(rate(learning_rate)) == pytest.approx(learning_rate, rel=0.051)


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_no_number_is_a_dash(value: float | None) -> None:
    """Nothing prints as nan."""
    assert rate(value) == "–"


@given(st.text())
def test_printable_text_steers_no_terminal(text: str) -> None:
    """One line, without control characters or text-direction marks."""
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs"} for char in printable(text))


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_a_next_step(verdict: Verdict) -> None:
    """Nobody is left with a verdict alone."""
    step = next_step(make_sweep(), make_answer(verdict), ())
    assert step.endswith(".")


def test_no_stable_region_names_what_was_not_tried_yet() -> None:
    """Warmup and clipping are proposed only where the space lacks them."""
    bare = make_sweep(search={"warmup": [0], "max_grad_norm": [0]})
    assert "add a warmup" in next_step(bare, make_answer(Verdict.NOTHING_SAFE), ())
    assert "add a warmup" not in next_step(make_sweep(), make_answer(Verdict.NOTHING_SAFE), ())


def test_crashes_come_before_more_trials() -> None:
    """More trials do not help while most of them say nothing."""
    crashed = tuple(make_trial(number, Outcome.CRASHED, message="no module named x") for number in range(4))
    step = next_step(make_sweep(), make_answer(Verdict.NOT_ENOUGH_EVIDENCE), crashed)
    assert "4 of 4 trials" in step
    assert "no module named x" in step


def test_a_failed_canary_quotes_its_message() -> None:
    """The reason stands where the reader looks for it."""
    canary = (make_trial(0, Outcome.NONFINITE, message="labels are out of range"),)
    assert "labels are out of range" in next_step(make_sweep(), make_answer(Verdict.CANARY_FAILED), canary)


@pytest.mark.parametrize(
    ("confirmation", "said"),
    [
        (None, "confirmation_trials"),
        (Confirmation(0, 0, 0, 1.0), "confirmation_trials"),
        (Confirmation(22, 5, 0, 0.4), "17 surviving fresh seeds"),
        (Confirmation(22, 9, 2, 0.4), "broke on 2 of 11 fresh seeds"),
    ],
)
def test_an_unconfirmed_answer_says_what_is_missing(confirmation: Confirmation | None, said: str) -> None:
    """Switched off, unfinished and failed are three different things."""
    answer = make_answer(Verdict.UNCONFIRMED, confirmation=confirmation)
    assert said in next_step(make_sweep(), answer, ())
