"""Ramps: which learning rate each step has, and which one broke or lifted the loss."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabsearch.records import Outcome, OutcomeRules, Stage, StepTrace, TrialPlan, TrialRecord
from stabsearch.records.ramp import as_ramp, broke_at, ramp_learning_rate, ramp_step, rose_at

PLAN = TrialPlan(3, Stage.SEARCH, 1e-3, 50, 1.0, "bf16", 11, 12, 101)
RAMP = as_ramp(PLAN, 1e-5, 1.0)
PER_STEP = 0.05  # decades
ENDED = {
    "nonfinite": Outcome.NONFINITE,
    "diverged": Outcome.DIVERGED,
    "scale floor": Outcome.SCALE_FLOOR,
}


def record(outcome: Outcome, first_bad_step: int | None, losses: tuple[float, ...] = ()) -> TrialRecord:
    trace = StepTrace.thinned(list(losses), [1.0] * len(losses))
    return TrialRecord(RAMP, outcome, first_bad_step=first_bad_step, trace=trace, chance_loss=1.0)


def test_a_ramp_keeps_what_is_not_the_rate() -> None:
    """Number, precision, clip, seeds and horizon are the plan's; there is no warmup."""
    rising = {"stage": Stage.RAMP, "warmup_steps": 0, "ramp_from": 1e-5, "learning_rate": 1.0}
    assert asdict(RAMP) == {**asdict(PLAN), **rising}
    assert RAMP.run_name == "lr1e-5to1e0_w0_c1_bf16_s3"
    assert PLAN.ramp_from is None


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (1.0, 0.1), (0.0, 1.0), (-1.0, 1.0), (1.0, math.inf),
                                           (math.nan, 1.0), (1e-5, math.nan)])  # fmt: skip
def test_a_ramp_that_does_not_rise_is_refused(low: float, high: float) -> None:
    """A range of zero width has nothing to climb."""
    with pytest.raises(ValueError, match=f"a ramp rises, got low={low:g}, high={high:g}"):
        as_ramp(PLAN, low, high)


def test_a_ramp_of_one_step_is_refused() -> None:
    """It could not be at both ends."""
    with pytest.raises(ValueError, match="takes two steps or more, got a horizon of 1"):
        as_ramp(replace(PLAN, horizon=1), 1e-5, 1.0)


@given(st.floats(1e-9, 1e-2), st.floats(1.5, 1e6), st.integers(2, 2000))
def test_rates_rise_by_the_same_factor_from_end_to_end(low: float, ratio: float, horizon: int) -> None:
    """The first step has the low end, the last the high end, and each step knows its rate."""
    ramp = as_ramp(replace(PLAN, horizon=horizon), low, low * ratio)
    rates = [ramp_learning_rate(ramp, step) for step in range(1, horizon + 1)]
    assert (rates[0], rates[-1]) == pytest.approx((low, low * ratio))
    factors = [after / before for before, after in pairwise(rates)]
    assert factors == pytest.approx([ratio ** (1 / (horizon - 1))] * (horizon - 1))
    assert [ramp_step(ramp, rate) for rate in rates] == list(range(1, horizon + 1))


@pytest.mark.parametrize("outcome", ENDED.values(), ids=ENDED)
def test_the_rate_before_the_first_bad_step_broke_the_ramp(outcome: Outcome) -> None:
    """A step's loss and gradients are those of weights that the update before it made."""
    assert broke_at(record(outcome, 41)) == pytest.approx(-5 + 39 * PER_STEP)
    assert broke_at(record(outcome, 2)) == pytest.approx(-5)


@pytest.mark.parametrize("outcome", [o for o in Outcome if not o.is_failure])
def test_a_ramp_that_its_rates_did_not_break_has_no_breaking_rate(outcome: Outcome) -> None:
    """It reached its end, or what ended it was no learning rate."""
    assert broke_at(record(outcome, 7)) is None


def test_what_was_bad_before_any_update_no_rate_broke() -> None:
    """A precision that cannot represent the untrained model is dead at every learning rate."""
    assert broke_at(record(Outcome.NONFINITE, 1)) is None


def test_a_loss_rises_above_its_start_for_good_measure() -> None:
    """A tenth above the first loss or chance, whichever is higher, smoothed; not at one spike."""
    rules = OutcomeRules(smoothing=0.5)
    assert rose_at(record(Outcome.STABLE, None, (1.0, 1.1, 0.5, 1.15, 1.0)), rules) is None
    lifted = record(Outcome.STABLE, None, (0.9, 0.5, 0.5, 1.2, 1.3, 1.4))
    assert rose_at(lifted, rules) == pytest.approx(-5 + 4 * PER_STEP)  # smoothed 1.2 at step 6
    assert rose_at(replace(lifted, chance_loss=2.0), rules) is None


def test_a_loss_that_becomes_nan_has_risen() -> None:
    """NaN compares with nothing; it counts all the same."""
    assert rose_at(record(Outcome.NONFINITE, 3, (1.0, 1.0, math.nan)), OutcomeRules()) == pytest.approx(-4.95)


def test_a_ramp_without_losses_shows_nothing() -> None:
    """A trial that never began."""
    assert rose_at(record(Outcome.LOST, None), OutcomeRules()) is None


def test_only_ramps_are_read_as_ramps() -> None:
    """An ordinary trial has one learning rate, and no rate that broke it on the way up."""
    ordinary = TrialRecord(PLAN, Outcome.DIVERGED, first_bad_step=5, trace=StepTrace((1,), (1.0,), (1.0,)))
    for read in (broke_at, lambda r: rose_at(r, OutcomeRules())):
        with pytest.raises(ValueError, match="trial 3 is no ramp"):
            read(ordinary)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_ramp_is_never_evidence(outcome: Outcome) -> None:
    """Transient, one seed and no hold: it shows where to look, whatever it ended as."""
    assert not record(outcome, None).is_evidence
    assert TrialRecord(PLAN, outcome).is_evidence == outcome.is_evidence
