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
from stabsearch.report.wording import confirmation_text, next_step, printable, rate


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
        (Confirmation(22, 22, 0, 0.1, bridge_horizon=480, bridge_failed=1), "budget.horizon 480"),
    ],
)
def test_an_unconfirmed_answer_says_what_is_missing(confirmation: Confirmation | None, said: str) -> None:
    """Switched off, unfinished and failed are three different things."""
    answer = make_answer(Verdict.UNCONFIRMED, confirmation=confirmation)
    assert said in next_step(make_sweep(), answer, ())


def test_a_sweep_that_ended_before_its_budget_needs_no_larger_one() -> None:
    """An interrupted one goes on as it is."""
    answer = make_answer(Verdict.UNCONFIRMED, confirmation=Confirmation(22, 5, 0, 0.4))
    stopped = tuple(make_trial(number) for number in range(43))
    assert next_step(make_sweep(), answer, stopped).endswith("17 surviving fresh seeds: run again.")
    spent = (*stopped, make_trial(43))
    assert next_step(make_sweep(), answer, spent).endswith("seeds: raise budget.trials and run again.")


def test_a_confirmation_says_what_its_claim_rests_on() -> None:
    """Stress, candidates that failed before and bridge trials, each only where there were any."""
    plain = confirmation_text(make_answer(), 0.9)
    assert "exactly the recommended configuration: 22 survived 120 steps, 0 failed. From these alone" in plain
    assert "bridge" not in plain
    stress = Confirmation(
        5, 5, 0, 0.09, "stress", 4e-3, 8.0, failed_rounds=2, bridge_horizon=480, bridge_survived=2,
        bridge_failed=1,
    )  # fmt: skip
    text = confirmation_text(make_answer(confirmation=stress), 0.9)
    assert "ran on 1.6 times the recommended learning rate (4.0e-3), where the fitted slope says" in text
    assert "at least 5.1 times as often" in text
    assert "From these and that slope" in text
    assert "Before it, 2 candidates failed" in text
    assert "3 bridge trials went on to step 480: 1 broke after step 120." in text


def test_after_abstaining_every_way_on_is_named() -> None:
    """A sharper frontier, a larger budget, more rounds; a sweep without tolerance has none to lower."""
    step = next_step(make_sweep(), make_answer(Verdict.ABSTAINED), ())
    assert step.startswith(
        "Lower search.tolerance (now 0.1), raise budget.trials (now 60) and risk.max_rounds (now 5)"
    )
    bare = make_sweep(search={"tolerance": None})
    assert next_step(bare, make_answer(Verdict.ABSTAINED), ()).startswith("Raise budget.trials")
