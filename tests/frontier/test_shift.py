"""How far one frontier lies from another: coverage on simulated sweeps, and what is claimed of each pair."""

from __future__ import annotations

import math
import random

import numpy as np
import pandas as pd
import pytest
from frontier_samples import COLUMNS, bracket, table

from stabsearch.frontier import Frontier, fit
from stabsearch.frontier.shift import Movement, Shift, _paired, read_at, shifts
from stabsearch.records import Context

CONTEXTS = [Context("fp32", 0, 1.0), Context("fp32", 50, 1.0), Context("bf16", 0, 1.0)]
RANGE = (1e-5, 1.0)
ONE = CONTEXTS[0]


def simulated(seed: int, shift: float, slope: float = 5.0) -> tuple[Frontier, list[float]]:
    """A frontier from 40 trials per context around a rough boundary, and where the true thresholds lie.

    The roughness is the model's own: a threshold lies 0.45 / slope decades below the smooth curve's,
    give or take 0.95 / slope.
    """
    dice = random.Random(seed)
    rows, truth = [], []
    for place, context in enumerate(CONTEXTS):
        smooth = -2.6 + 0.25 * place + shift
        truth.append(smooth - 0.45 / slope + dice.gauss(0, math.hypot(0.06, 0.95 / slope)))
        for _ in range(40):
            x = smooth + dice.uniform(-1, 1)
            hazard = -math.log1p(-0.1) * math.exp(slope * (x - smooth))
            rows.append((x, context, dice.random() < 1 - math.exp(-hazard)))
    return fit(table(rows), 0.1, RANGE), truth


def pairs() -> list[tuple[Context, Context]]:
    return [(context, context) for context in CONTEXTS]


def sharp(boundary: float, learning_rate_range: tuple[float, float] = RANGE) -> Frontier:
    return fit(table(bracket(ONE, boundary)), 0.1, learning_rate_range)


def only(first: Frontier, other: Frontier) -> Shift:
    (each,), _ = shifts(first, other, [(ONE, ONE)])
    return each


@pytest.mark.parametrize("shift", [-0.5, 0.0])
def test_the_interval_of_the_ratio_covers_as_often_as_it_says(shift: float) -> None:
    """Of 40 pairs of sweeps and 3 contexts each; half as wide an interval covers about 60 %."""
    covered = overall_covered = claims = against = 0
    for seed in range(40):
        (first, before), (other, after) = simulated(2 * seed, 0.0), simulated(2 * seed + 1, shift)
        each, overall = shifts(first, other, pairs())
        for one, old, new in zip(each, before, after, strict=True):
            assert one.ratio_low is not None
            assert one.ratio_high is not None
            covered += one.ratio_low <= 10 ** (new - old) <= one.ratio_high
            claims += one.movement in {Movement.UP, Movement.DOWN}
            against += one.movement is Movement.UP
        assert overall.ratio_low is not None
        assert overall.ratio_high is not None
        overall_covered += overall.ratio_low <= 10 ** (np.mean(after) - np.mean(before)) <= overall.ratio_high
    assert 0.8 * 120 <= covered <= 0.98 * 120
    assert 0.75 * 40 <= overall_covered <= 40
    if shift:
        assert claims > 0.3 * 120
        assert against == 0
    else:
        assert claims < 0.12 * 120


def test_a_known_shift_is_found_with_its_size_and_direction() -> None:
    """Half a decade down, from closely bracketed boundaries."""
    down = only(sharp(-2.0), sharp(-2.7))
    assert down.movement is Movement.DOWN
    assert down.ratio == pytest.approx(10**-0.7, rel=0.15)
    assert down.ratio_low is not None
    assert down.ratio_high is not None
    assert down.ratio_low < down.ratio < down.ratio_high < 1
    assert down.probability_down is not None
    assert down.probability_down > 0.95
    up = only(sharp(-2.7), sharp(-2.0))
    assert up.movement is Movement.UP
    assert up.ratio == pytest.approx(1 / down.ratio, rel=0.05)
    assert up.probability_up == pytest.approx(down.probability_down, abs=0.02)


def test_two_sweeps_of_equal_trials_are_independent_all_the_same() -> None:
    """Their draws come from one sequence: paired as they stand, the ratio would be known exactly."""
    same = only(sharp(-2.0), sharp(-2.0))
    assert same.movement is Movement.UNCLEAR
    assert same.ratio == pytest.approx(1, abs=0.05)
    row = sharp(-2.0).rows[0]
    single = math.log10(row.lr_high / row.lr_low)
    assert same.ratio_high is not None
    assert same.ratio_low is not None
    assert math.log10(same.ratio_high / same.ratio_low) == pytest.approx(math.sqrt(2) * single, rel=0.15)
    assert same.probability_down == pytest.approx(0.5, abs=0.03)


def test_the_same_sweeps_give_the_same_numbers() -> None:
    """Deterministic to the last digit."""
    assert only(sharp(-2.0), sharp(-2.4)) == only(sharp(-2.0), sharp(-2.4))


def survivors(top: float = 0.0) -> Frontier:
    return fit(table([(top - 0.05 * i, ONE, False) for i in range(12)]), 0.1, RANGE)


def broken() -> Frontier:
    return fit(table([(-5 + 0.1 * i, ONE, True) for i in range(30)]), 0.1, RANGE)


def test_a_frontier_outside_its_range_gives_a_bound_of_the_move() -> None:
    """Stable to the top before: it moved down at least so far; the top itself is all that is known."""
    assert survivors().rows[0].verdict == "stable_to_top"
    down = only(survivors(), sharp(-2.0))
    assert (down.movement, down.is_bound) == (Movement.DOWN, True)
    assert down.ratio_high is not None
    assert 10**-2.2 < down.ratio_high < 10**-1.4
    assert down.ratio_low is not None
    assert down.ratio_low > 0.95 * sharp(-2.0).rows[0].lr_low / RANGE[1]  # no draw lies above the range
    up = only(sharp(-2.0), survivors())
    assert (up.movement, up.is_bound) == (Movement.UP, True)


def test_what_the_range_hides_is_not_claimed() -> None:
    """A top of 1e-3 before and a frontier at 1e-2 in a wider range: perhaps it was there all along."""
    low_top = fit(table([(-3 - 0.05 * i, ONE, False) for i in range(12)]), 0.1, (1e-5, 1e-3))
    assert low_top.rows[0].verdict == "stable_to_top"
    assert only(low_top, sharp(-2.0)).movement is Movement.NOT_ENOUGH_EVIDENCE
    assert only(survivors(), survivors()).movement is Movement.NOT_ENOUGH_EVIDENCE


def test_no_stable_region_any_more_is_a_move_down() -> None:
    """At most the low end of the range is left."""
    assert broken().rows[0].verdict == "no_stable_region"
    assert only(sharp(-2.0), broken()).movement is Movement.DOWN
    assert only(broken(), sharp(-2.0)).movement is Movement.UP
    assert only(broken(), broken()).movement is Movement.NOT_ENOUGH_EVIDENCE
    _, overall = shifts(sharp(-2.0), broken(), [(ONE, ONE)])
    assert (overall.movement, overall.ratio) == (Movement.DOWN, None)


@pytest.mark.parametrize("rows", [[], [(-3.0, ONE, False)], [(-3.0, ONE, True)]])
def test_too_few_trials_are_not_enough_evidence(rows: list[tuple[float, Context, bool]]) -> None:
    """Nothing, or one trial, on either side; overall too."""
    few = fit(pd.DataFrame(table(rows), columns=COLUMNS), 0.1, RANGE, contexts=[ONE])
    for first, other in ((few, sharp(-2.0)), (sharp(-2.0), few)):
        (each,), overall = shifts(first, other, [(ONE, ONE)])
        assert each == Shift(Movement.NOT_ENOUGH_EVIDENCE)
        assert overall.movement is Movement.NOT_ENOUGH_EVIDENCE


def test_a_draw_that_is_dead_in_both_sweeps_is_no_difference() -> None:
    """And one that is dead in one of them is an infinite one."""
    first, other = np.array([[-np.inf], [-np.inf]]), np.array([[-np.inf], [-3.0]])
    assert set(_paired(first, other).ravel()) == {0.0, np.inf}


def test_no_pair_is_no_evidence() -> None:
    """Where no context is shared."""
    assert shifts(sharp(-2.0), sharp(-2.0), []) == ((), Shift(Movement.NOT_ENOUGH_EVIDENCE))


def test_one_context_is_read_under_two_names() -> None:
    """A batch size that one sweep searched and the other fixed."""
    named = ONE._replace(per_device_train_batch_size=16)
    other = fit(table(bracket(named, -2.7)), 0.1, RANGE)
    (each,), _ = shifts(sharp(-2.0), other, [(ONE, named)])
    assert each.movement is Movement.DOWN


def test_a_frontier_read_at_a_stricter_risk_lies_lower() -> None:
    """The same trials, another question."""
    strict = read_at(sharp(-2.0), 0.02, 0.8)
    assert strict.rows[0].lr_safe < sharp(-2.0).rows[0].lr_safe
    assert (strict.max_failure_probability, strict.confidence) == (0.02, 0.8)
