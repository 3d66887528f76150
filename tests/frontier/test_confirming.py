"""Rounds of confirmation: how many seeds, where, and what they prove."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from round_samples import FP32, REQUIRED, RULES, confirming, fitted, searched, terms_of

from stabsearch.errors import ExitCode
from stabsearch.frontier import Frontier, Recommendation, Verdict, confirmation_trials, failure_bound
from stabsearch.frontier.conclude import conclude
from stabsearch.frontier.confirmation import relieved_bound, stress_trials
from stabsearch.frontier.confirming import Certificate, Confirming, certificate_of
from stabsearch.frontier.rounds import last_round
from stabsearch.records import TrialRecord

RATE, STRESSED = 1e-3, 1.58e-3
STRESS = terms_of(kind="stress", stress_margin=0.2)
probabilities = st.floats(0.01, 0.4)


def stressed(survived: int, failed: int = 0) -> list[TrialRecord]:
    """A search and a stress test for 1e-3."""
    return confirming(searched(), STRESSED, survived, failed, confirms=RATE)


def certificate(records: list[TrialRecord]) -> Certificate:
    latest = last_round(records, ())
    assert latest is not None
    return certificate_of(latest, records, fitted(records), STRESS.confirming, RULES)


@given(probabilities, st.floats(0.5, 0.99), st.floats(1, 50))
def test_stress_trials_are_just_enough(risk: float, confidence: float, ratio: float) -> None:
    """That many survivors give the bound; one fewer does not."""
    needed = stress_trials(risk, confidence, ratio)
    assert relieved_bound(failure_bound(0, needed, confidence), ratio) <= risk + 1e-9
    if needed > 1:
        assert relieved_bound(failure_bound(0, needed - 1, confidence), ratio) > risk


def test_the_published_counts_of_stress_tests() -> None:
    """For 10 % at 90 % and 0.2 decades: 10, 5 and 2 seeds at slopes 4, 8 and 12."""
    assert [stress_trials(0.1, 0.9, math.exp(0.2 * slope)) for slope in (4, 8, 12)] == [10, 5, 2]
    assert stress_trials(0.1, 0.9, 1.0) == confirmation_trials(0.1, 0.9)


@pytest.mark.parametrize("ratio", [0.5, math.inf, math.nan])
def test_a_stress_test_is_no_easier_than_what_it_vouches_for(ratio: float) -> None:
    """A ratio below one would need more seeds, at a lower rate."""
    with pytest.raises(ValueError, match="hazard_ratio must be 1 or above"):
        stress_trials(0.1, 0.9, ratio)
    with pytest.raises(ValueError, match="hazard_ratio must be 1 or above"):
        relieved_bound(0.1, ratio)


def test_a_stress_test_leans_on_the_lower_slope_of_the_trials_before_it() -> None:
    """Its own survivors have no say in how many of them it needs."""
    before, slope = certificate(stressed(1)), fitted(searched()).posterior.slope(0, 0.05)
    assert before.slope == slope
    assert before.hazard_ratio == pytest.approx(math.exp(slope * math.log10(STRESSED / RATE)))
    assert certificate(stressed(12)) == before
    assert before.required < REQUIRED


def test_a_stress_round_is_known_from_its_records() -> None:
    """What was tested, and what it vouches for, stand in the plans."""
    latest = last_round(stressed(3), ())
    assert latest is not None
    assert (latest.learning_rate, latest.tested, latest.survived) == (RATE, STRESSED, 3)
    assert latest.is_stressed


def test_a_passed_stress_test_confirms_the_lower_rate_and_says_what_it_assumes() -> None:
    """Horizon, count, margin, bound and slope are all named."""
    needed = certificate(stressed(1)).required
    records = stressed(needed)
    answer = conclude(records, fitted(records), STRESS)
    assert answer.verdict is Verdict.CONFIRMED
    assert answer.recommendation is not None
    assert answer.recommendation.learning_rate == RATE
    assert (
        f"within 100 steps (90% confidence, {needed} of {needed} fresh seeds survived at 0.00158"
        in answer.sentence
    )
    assert "0.2 decades above it" in answer.sentence
    assert "assumes that the failure rate keeps rising at least" in answer.sentence
    confirmation = answer.confirmation
    assert confirmation is not None
    assert (confirmation.kind, confirmation.tested_learning_rate) == ("stress", STRESSED)
    assert failure_bound(0, needed, 0.9) > confirmation.bound
    assert confirmation.bound <= 0.1


def test_an_unfinished_stress_test_confirms_nothing() -> None:
    """One seed short of what the slope asks for."""
    needed = certificate(stressed(1)).required
    assert needed > 1
    answer = conclude(stressed(needed - 1), fitted(stressed(needed - 1)), STRESS)
    assert answer.verdict is Verdict.UNCONFIRMED


def test_a_failure_under_stress_fails_the_candidate() -> None:
    """It is evidence at the stressed rate, and the next candidate starts from zero."""
    records = stressed(3, failed=1)
    frontier = fitted(records)
    assert conclude(records, frontier, STRESS).verdict is Verdict.UNCONFIRMED
    assert frontier.table["num_failed"].sum() == 1 + fitted(searched()).table["num_failed"].sum()
    confirmation = conclude(records, frontier, STRESS).confirmation
    assert confirmation is not None
    assert (confirmation.survived, confirmation.failed_rounds) == (0, 1)


def test_no_stress_test_leaves_the_searched_range() -> None:
    """Nothing is known there: the candidate's own rate is tested, and the answer says so."""
    how = Confirming(REQUIRED, "stress", 0.2)
    assert how.tested_rate(Recommendation(FP32, 0.1, 0, 0, 0), highest=1.0) == pytest.approx(0.158)
    assert how.tested_rate(Recommendation(FP32, 0.1, 0, 0, 0), highest=0.15) == 0.1
    records = confirming(searched(), RATE, REQUIRED)
    answer = conclude(records, fitted(records), STRESS)
    assert answer.verdict is Verdict.CONFIRMED
    assert "No stress test: 0.2 decades above it lie outside the searched range" in answer.sentence


def test_a_given_number_of_seeds_holds_under_stress() -> None:
    """Whoever says ten means ten."""
    how = Confirming(10, "stress", 0.2, is_number_given=True, bridge_trials=2)
    latest = last_round(stressed(1), ())
    assert latest is not None
    assert certificate_of(latest, stressed(1), fitted(searched()), how, RULES).required == 10
    assert how.most_trials == 12


def test_enough_trials_are_kept_for_the_shallowest_slope() -> None:
    """22 plain seeds; under stress fewer, but never fewer than a round can need."""
    assert Confirming(22, bridge_trials=3).most_trials == 25
    assert Confirming(22, "stress", 0.2).most_trials == 18
    assert Confirming(0).most_trials == 0


def test_a_stress_test_shows_no_less_than_what_fails_by_chance() -> None:
    """However steep the slope: lapses do not shrink with the rate; and luck and slope share the doubt."""
    steep = Certificate(5, slope=28.0, hazard_ratio=250.0, lapse=0.02)
    assert steep.bound(22, 0.9) == 0.02
    gentle = Certificate(5, slope=5.0, hazard_ratio=2.0, lapse=0.02)
    assert gentle.bound(10, 0.9) == pytest.approx(1 - (1 - failure_bound(0, 10, 0.95)) ** 0.5)
    assert Certificate(22).bound(22, 0.9) == failure_bound(0, 22, 0.9)


def test_a_stress_test_takes_at_least_five_seeds() -> None:
    """No slope is trusted so far that one would do."""
    wide = Confirming(REQUIRED, "stress", 1.0)
    latest = last_round(stressed(1), ())
    assert latest is not None
    assert certificate_of(latest, stressed(1), fitted(searched()), wide, RULES).required >= 5


def failed_rounds(count: int) -> list[TrialRecord]:
    records = searched()
    for place in range(count):
        records = confirming(records, RATE / 2**place, survived=1, failed=1)
    return records


def test_a_pass_after_failed_rounds_says_so() -> None:
    """It is a weaker statement: the more candidates are tried, the more likely one is lucky."""
    records = confirming(failed_rounds(2), 1e-4, REQUIRED)
    answer = conclude(records, fitted(records), terms_of())
    assert answer.verdict is Verdict.CONFIRMED
    assert "22 of 22 fresh seeds survived, after 2 candidates failed" in answer.sentence
    assert answer.confirmation is not None
    assert answer.confirmation.failed_rounds == 2


def test_too_many_failed_candidates_are_an_answer_of_their_own() -> None:
    """Where it is safe is not known: neither a recommendation nor a verdict against the space."""
    records = failed_rounds(5)
    answer = conclude(records, fitted(records), terms_of())
    assert answer.verdict is Verdict.ABSTAINED
    assert answer.verdict.exit_code is ExitCode.CANNOT_JUDGE
    assert answer.recommendation is None
    assert answer.sentence.startswith("No candidate survived confirmation in 5 rounds")
    assert conclude(records, fitted(records), terms_of(max_rounds=6)).verdict is not Verdict.ABSTAINED


def test_a_late_pass_counts_whatever_failed_before() -> None:
    """The fifth candidate fails no more than the first: four failures and a pass are a pass."""
    records = confirming(failed_rounds(5), 2e-5, REQUIRED)
    assert conclude(records, fitted(records), terms_of()).verdict is Verdict.CONFIRMED


def test_nothing_safe_comes_before_abstaining() -> None:
    """When even the lowest rate fails everywhere, that is the stronger answer."""
    records: list[TrialRecord] = []
    for place in range(8):
        records = confirming(records or searched()[-1:], 1e-5 * (1 + place / 10), survived=0, failed=2)
    frontier: Frontier = fitted(records)
    assert conclude(records, frontier, terms_of()).verdict is Verdict.NOTHING_SAFE
