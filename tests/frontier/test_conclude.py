"""What a sweep says in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from stabsearch.errors import ExitCode
from stabsearch.frontier import Frontier, Verdict, confirmation_trials, fit
from stabsearch.frontier.conclude import conclude
from stabsearch.frontier.confirming import Confirming
from stabsearch.frontier.rounds import last_round
from stabsearch.frontier.terms import Terms
from stabsearch.records import Cause, Context, Grade, Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.records.frame import trials_frame

FP32 = Context("fp32", 0, 1.0)
RANGE = (1e-5, 1.0)
TERMS = Terms(
    0.1, 0.9, Confirming(confirmation_trials(0.1, 0.9)), horizon=100, max_steps=1000, caveats=("short",)
)


def record(
    number: int,
    learning_rate: float,
    outcome: Outcome = Outcome.STABLE,
    stage: Stage = Stage.SEARCH,
    context: Context = FP32,
) -> TrialRecord:
    plan = TrialPlan(
        number, stage, learning_rate, context.warmup_steps, context.max_grad_norm, "fp32", 0, 0, horizon=100
    )
    is_stable = outcome is Outcome.STABLE
    return TrialRecord(
        plan,
        outcome,
        grade=Grade.CLEAN if is_stable else None,
        cause=None if is_stable else Cause.LEARNING_RATE,
        message="what happened",
    )


def searched() -> list[TrialRecord]:
    """A boundary near 3e-3, well bracketed."""
    rates = [1e-4, 3e-4, 1e-3, 1.5e-3, 2e-3, 5e-3, 6e-3, 1e-2, 1e-1]
    return [
        record(i, rate, Outcome.STABLE if rate < 3e-3 else Outcome.DIVERGED) for i, rate in enumerate(rates)
    ]


def fitted(records: Sequence[TrialRecord]) -> Frontier:
    return fit(trials_frame(records), 0.1, RANGE, 0.9, [FP32])


def confirmed(records: list[TrialRecord], rate: float, survived: int, failed: int = 0) -> list[TrialRecord]:
    first = len(records)
    more = [record(first + i, rate, stage=Stage.CONFIRM) for i in range(survived)]
    more += [record(first + survived + i, rate, Outcome.COLLAPSED, Stage.CONFIRM) for i in range(failed)]
    return [*records, *more]


def test_enough_fresh_seeds_confirm() -> None:
    """22 of 22: the wording states horizon, counts, bound and confidence, and the exit code is 0."""
    records = confirmed(searched(), 1e-3, 22)
    answer = conclude(records, fitted(records), TERMS)
    assert answer.verdict is Verdict.CONFIRMED
    assert answer.verdict.exit_code is ExitCode.ANSWER
    assert "at most 10% of runs fail within 100 steps (90% confidence, 22 of 22" in answer.sentence
    assert answer.recommendation is not None
    assert answer.recommendation.learning_rate == 1e-3
    assert answer.caveats == ("short",)


@pytest.mark.parametrize("survived", [0, 1, 21])
def test_fewer_seeds_leave_it_unconfirmed(survived: int) -> None:
    """It is recommended, and labelled."""
    records = confirmed(searched(), 1e-3, survived)
    answer = conclude(records, fitted(records), TERMS)
    assert answer.verdict is Verdict.UNCONFIRMED
    assert answer.sentence.startswith("Unconfirmed")
    assert answer.confirmation is not None
    assert not answer.confirmation.is_passed


def test_a_candidate_that_failed_is_not_recommended() -> None:
    """One failure among the fresh seeds, and the answer is another learning rate, below it."""
    records = confirmed(searched(), 1e-3, 21, failed=1)
    answer = conclude(records, fitted(records), TERMS)
    assert answer.verdict is Verdict.UNCONFIRMED
    assert answer.recommendation is not None
    assert answer.recommendation.learning_rate < 1e-3


def test_survivors_of_another_candidate_do_not_count() -> None:
    """A round starts from zero: only seeds on exactly this configuration confirm it."""
    records = confirmed(confirmed(searched(), 1.1e-3, 21, failed=1), 8e-4, 21)
    answer = conclude(records, fitted(records), TERMS)
    assert answer.verdict is Verdict.UNCONFIRMED
    assert answer.confirmation is not None
    assert answer.confirmation.survived == 21


def test_trials_that_prove_nothing_count_neither_way() -> None:
    """A lost worker during confirmation is no survivor and no failure."""
    records = confirmed(searched(), 1e-3, 22)
    lost = replace(records[-1], outcome=Outcome.LOST, grade=None)
    answer = conclude([*records[:-1], lost], fitted(records), TERMS)
    assert answer.verdict is Verdict.UNCONFIRMED
    assert answer.confirmation is not None
    assert answer.confirmation.survived == 21


def test_a_failed_canary_is_a_verdict_of_its_own() -> None:
    """Its cause is named, and lowering the learning rate is not the advice."""
    records = [record(0, 2e-5, Outcome.NONFINITE, Stage.CANARY)]
    answer = conclude(records, fitted(records), TERMS)
    assert answer.verdict is Verdict.CANARY_FAILED
    assert answer.verdict.exit_code is ExitCode.AGAINST
    assert "cause: learning_rate" in answer.sentence


def test_a_data_fault_is_a_verdict_against() -> None:
    """Whatever else was found."""
    records = [
        *searched(),
        replace(record(9, 1e-3), outcome=Outcome.DATA_FAULT, cause=Cause.DATA, grade=None),
    ]
    answer = conclude(records, fitted(records), TERMS)
    assert answer.verdict is Verdict.DATA_FAULT
    assert answer.recommendation is None


def test_nothing_safe() -> None:
    """Failures down to the lowest rate of the range."""
    records = [record(i, 1e-5 * (1 + i), Outcome.DIVERGED) for i in range(14)]
    answer = conclude(records, fitted(records), TERMS)
    assert answer.verdict is Verdict.NOTHING_SAFE
    assert answer.verdict.exit_code is ExitCode.AGAINST


def test_no_trials_are_not_enough_evidence() -> None:
    """Neither safe nor unsafe: could not judge."""
    answer = conclude([], fitted([]), TERMS)
    assert answer.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert answer.verdict.exit_code is ExitCode.CANNOT_JUDGE


def test_a_stricter_risk_needs_more_seeds() -> None:
    """22 survivors confirm 0.1 and not 0.05."""
    records = confirmed(searched(), 1e-3, 22)
    confirming = Confirming(confirmation_trials(0.05, 0.9))
    strict = Terms(0.05, 0.9, confirming, horizon=100, max_steps=1000)
    frontier = fit(trials_frame(records), 0.05, RANGE, 0.9, [FP32])
    answer = conclude(records, frontier, strict)
    assert answer.verdict is Verdict.UNCONFIRMED
    assert answer.recommendation is not None
    assert answer.recommendation.probability_high <= 0.05 * 1.05


def test_the_round_is_the_latest_candidate() -> None:
    """Running trials of the same candidate belong to it, those of an earlier one do not."""
    records = confirmed(searched(), 1e-3, 3)
    running = replace(records[-1].plan, number=99)
    other = replace(running, number=50, learning_rate=2e-3)
    found = last_round(records, [running, other])
    assert found is not None
    assert (found.learning_rate, found.survived, found.running, found.is_open) == (1e-3, 3, 1, True)
    assert last_round(searched(), []) is None


def test_what_stopped_a_sweep_counts_in_every_context() -> None:
    """A fault of the data, or a failed canary, outside the contexts asked for is still the answer."""
    elsewhere = Context("bf16", 0, 1.0)
    fault = replace(record(9, 1e-3), outcome=Outcome.DATA_FAULT, cause=Cause.DATA, grade=None)
    frontier = fit(trials_frame([]), 0.1, RANGE, 0.9, [elsewhere])
    assert conclude([*searched(), fault], frontier, TERMS).verdict is Verdict.DATA_FAULT
    canary = record(0, 2e-5, Outcome.NONFINITE, Stage.CANARY)
    assert conclude([canary], frontier, TERMS).verdict is Verdict.CANARY_FAILED


def test_a_candidate_of_another_context_is_not_the_answer() -> None:
    """Asked for bf16 only, fresh seeds in fp32 say nothing."""
    frontier = fit(trials_frame([]), 0.1, RANGE, 0.9, [Context("bf16", 0, 1.0)])
    records = confirmed(searched(), 1e-3, 22)
    assert conclude(records, frontier, TERMS).verdict is Verdict.NOT_ENOUGH_EVIDENCE
