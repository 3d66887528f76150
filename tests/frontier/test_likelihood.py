"""How probable trials are under every threshold and shape."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from engine_samples import CURVE, SPAN
from hypothesis import given, settings
from hypothesis import strategies as st

from stabsearch.frontier.curve import SLOPE_J, SLOPES_S, FailureCurve
from stabsearch.frontier.evidence import Observation, Result, settled, tallied
from stabsearch.frontier.likelihood import CELL, STEP, Grid, Span, log_likelihood


@pytest.mark.parametrize("risk", [0.01, 0.05, 0.1, 0.3])
def test_the_curve_passes_through_the_risk_at_its_threshold(risk: float) -> None:
    """Whatever the slope; below it fails less, above it more, never all or none."""
    probability_DS = FailureCurve(risk).failure_probability(np.array([-5.0, -0.1, 0.0, 0.1, 13.0]), SLOPES_S)
    assert probability_DS[2] == pytest.approx(np.full(len(SLOPES_S), risk))
    assert (np.diff(probability_DS[1:4], axis=0) > 0).all()
    assert probability_DS.min() > 0
    assert probability_DS.max() < 1


def test_the_results_of_a_graded_trial_exhaust_all_possibilities() -> None:
    """Failed, degraded and clean sum to one, as do failed and survived."""
    distance_D = np.linspace(-3, 3, 61)
    failed, survived, clean, degraded = (CURVE.probability(result, distance_D) for result in Result)
    assert failed + survived == pytest.approx(1.0)
    assert clean + degraded == pytest.approx(survived)


def test_survivors_degrade_before_they_fail() -> None:
    """Where one trial in ten fails, many survivors are degraded, unless the band has no width."""
    degraded_J = CURVE.probability(Result.DEGRADED, np.array([0.0]))[0]
    steep_wide, steep_none = degraded_J[-1], degraded_J[-4]
    assert steep_wide > 0.8
    assert steep_none < 0.04


def test_being_alive_says_more_the_longer_it_lasts() -> None:
    """Nothing at the start, as much as a survivor at the horizon."""
    distance_D = np.array([0.1])
    alive = [CURVE.alive_probability(distance_D, share)[0] for share in (1e-9, 0.3, 0.7, 1.0)]
    assert alive[0] == pytest.approx(1.0, abs=2e-3)
    assert all((later <= earlier).all() for earlier, later in itertools.pairwise(alive))
    assert alive[-1] == pytest.approx(1 - CURVE.failure_probability(distance_D)[0])


@settings(max_examples=30, deadline=None)
@given(st.floats(-7, -1), st.sampled_from(Result), st.integers(1, 3))
def test_the_table_holds_the_curve_of_every_threshold(x: float, result: Result, count: int) -> None:
    """Looked up by distance, it is what the curve says at the rounded intensity."""
    evidence = tallied([Observation(x, result)] * count)
    grid = Grid.around(SPAN, [evidence])
    rounded = grid.low + round((x - grid.low) / CELL) * CELL
    direct = count * np.log(CURVE.probability(result, rounded - grid.thresholds()))
    assert log_likelihood(CURVE, grid, evidence) == pytest.approx(direct, abs=1e-6)
    assert abs(rounded - x) <= CELL / 2 + 1e-9


def test_trials_that_were_stopped_alive_count_by_their_exposure() -> None:
    """One that was stopped at once says nothing at all."""
    grid = Grid.around(SPAN)
    at_once, late = (tallied([Observation(-3.0, Result.SURVIVED, share)]) for share in (0.0, 0.8))
    assert not log_likelihood(CURVE, grid, at_once).any()
    direct = np.log(CURVE.alive_probability(-3.0 - grid.thresholds(), 0.8))
    assert log_likelihood(CURVE, grid, late) == pytest.approx(direct, abs=1e-6)


def test_the_grid_reaches_beyond_the_range_and_beyond_every_trial() -> None:
    """In whole steps, so that rounding means the same everywhere; two decades beyond the range at most."""
    narrow, wide = Grid.around(SPAN), Grid.around(SPAN, [tallied([Observation(-7.5, Result.FAILED)])])
    assert narrow.thresholds()[0] == pytest.approx(-6.8)
    assert narrow.thresholds()[-1] == pytest.approx(-1.2)
    assert wide.thresholds()[0] <= -8.3 + 1e-9
    assert Grid.around(SPAN, [tallied([Observation(-300.0, Result.FAILED)])]).size < 170
    offset = (narrow.low - wide.low) / STEP
    assert offset == pytest.approx(round(offset))


@pytest.mark.parametrize("x", [-300.0, -9.0, 0.5, 300.0])
def test_far_away_trials_count_as_ones_at_the_end_of_the_grid(x: float) -> None:
    """Where every curve has saturated; nothing is looked up outside the table."""
    grid = Grid.around(SPAN)
    table = log_likelihood(CURVE, grid, tallied([Observation(x, Result.FAILED)]))
    end = grid.thresholds()[0 if x < 0 else -1]
    assert table == pytest.approx(np.log(CURVE.failure_probability(end - grid.thresholds())), abs=1e-6)


def test_a_range_of_no_width_has_one_candidate() -> None:
    """And a grid around it all the same."""
    point = Span(-4.0, -4.0)
    assert point.candidates().tolist() == [-4.0]
    assert Grid.around(point).size == 33
    assert len(SLOPE_J) == log_likelihood(CURVE, Grid.around(point), ()).shape[1]


def test_clean_means_survived_where_nobody_was_degraded() -> None:
    """Whoever does not grade calls everything clean."""
    clean = tallied([Observation(-4.0, Result.CLEAN)] * 3)
    degraded = tallied([Observation(-3.5, Result.DEGRADED)])
    assert settled([clean, ()])[0] == tallied([Observation(-4.0, Result.SURVIVED)] * 3)
    assert list(settled([clean, degraded])) == [clean, degraded]
    assert math.isclose(clean[0].survived, 3)
