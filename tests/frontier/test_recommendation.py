"""Which configuration is recommended, and why none is."""

from __future__ import annotations

import math

import pytest
from frontier_samples import BF16, FP32, RANGE, bracket, table
from hypothesis import given
from hypothesis import strategies as st

from stabsearch.frontier import fit
from stabsearch.frontier.frontier import rounded_down
from stabsearch.records import Context

TF32 = Context("tf32", 0, 1.0)


def test_the_context_that_allows_the_highest_rate_is_recommended_at_its_lower_bound() -> None:
    """Half a decade higher in fp32 beats the cheaper bf16."""
    frontier = fit(table([*bracket(FP32, -3.5), *bracket(BF16, -4.0)]), 0.1, RANGE)
    recommended = frontier.recommend()
    assert recommended is not None
    assert recommended.context == FP32
    lowest = frontier.table.set_index("precision").loc["fp32", "lr_low"]
    assert lowest * 0.99 < recommended.learning_rate <= lowest
    assert (
        recommended.probability_low <= recommended.failure_probability <= recommended.probability_high < 0.2
    )


def test_among_equals_the_cheapest_precision_wins() -> None:
    """Less than 0.1 decades apart: bf16 before tf32 before fp32."""
    trials = [*bracket(FP32, -4.0), *bracket(TF32, -4.02), *bracket(BF16, -4.05)]
    assert fit(table(trials), 0.1, RANGE).recommend().context == BF16
    assert fit(table(trials[:48]), 0.1, RANGE).recommend().context == TF32


def test_a_failure_below_the_bound_pushes_the_recommendation_below_it() -> None:
    """One odd failure far down moves the posterior little, but is never ignored."""
    trials = [*bracket(FP32, -4.0), *[(-4.5 - 0.05 * i, FP32, False) for i in range(20)], (-4.9, FP32, True)]
    frontier = fit(table(trials), 0.1, RANGE)
    recommended = frontier.recommend()
    assert frontier.table.loc[0, "lr_low"] > 10**-4.9
    assert recommended is not None
    assert math.log10(recommended.learning_rate) == pytest.approx(-5.0)


def test_a_context_in_which_nothing_learned_is_not_recommended() -> None:
    """Surviving untrained is no achievement; the other context is taken although it is lower."""
    trials = table([*bracket(FP32, -3.5), *bracket(BF16, -4.0)])
    graded = trials.assign(grade=["untrained" if p == "fp32" else "degraded" for p in trials["precision"]])
    assert fit(graded, 0.1, RANGE).recommend().context == BF16
    nothing = fit(trials.assign(grade="untrained"), 0.1, RANGE)
    assert nothing.recommend() is None
    assert nothing.why_not == "in every context no surviving trial has learned anything"


def test_nothing_is_recommended_without_trials() -> None:
    """And the reason says so."""
    frontier = fit(table([]), 0.1, RANGE, contexts=[FP32])
    assert frontier.recommend() is None
    assert frontier.why_not == "no trial has said anything about stability yet"


def test_nothing_is_recommended_where_everything_fails() -> None:
    """A different reason per context is given per context."""
    dead = [(-6.0, FP32, True)] * 4
    assert "lowest learning rate" in fit(table(dead), 0.1, RANGE).why_not
    mixed = fit(table(dead), 0.1, RANGE, contexts=[BF16]).why_not
    assert mixed == (
        f"{FP32.label}: even the lowest learning rate of the range fails too often; "
        f"{BF16.label}: the trials leave too wide an interval to name a safe learning rate"
    )


def test_nothing_is_recommended_when_the_lower_bound_lies_below_the_range() -> None:
    """A boundary at the very bottom: the lowest rate is probably safe, but that is not shown."""
    frontier = fit(table(bracket(FP32, -5.75)), 0.1, RANGE)
    assert frontier.table.loc[0, "verdict"] == "bounded"
    assert frontier.recommend() is None
    assert "do not show that the lowest learning rate" in frontier.why_not


def test_a_region_stable_to_the_top_is_never_left_upwards() -> None:
    """The recommended rate does not exceed the range."""
    recommended = fit(table([(-2.0, FP32, False)] * 60), 0.1, RANGE).recommend()
    assert recommended is not None
    assert recommended.learning_rate <= RANGE[1]


@given(st.floats(1e-9, 10.0))
def test_rounds_down_to_three_digits(rate: float) -> None:
    """A rounded learning rate is never above the one it stands for, and less than 1 % below it."""
    rounded = rounded_down(rate)
    assert 0.99 * rate < rounded <= rate
    assert float(f"{rounded:.3g}") == rounded
    assert rounded_down(rounded) == rounded
