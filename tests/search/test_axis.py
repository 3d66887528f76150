"""Optuna parameters as axes and levels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from stabsearch.search.axis import Axis, Levels, Numeric

NUMERIC = [
    FloatDistribution(1e-6, 1e-2, log=True),
    FloatDistribution(-3.0, 5.0),
    FloatDistribution(0.0, 1.0, step=0.1),
    FloatDistribution(2.0, 2.0),
    IntDistribution(3, 100),
    IntDistribution(1, 1000, log=True),
    IntDistribution(2, 20, step=3),
]
ALL = [*NUMERIC, IntDistribution(1, 4), CategoricalDistribution(["a", None, 3, True])]


@given(st.sampled_from(NUMERIC), st.floats(-10, 10))
def test_every_position_has_a_valid_value(distribution: Numeric, position: float) -> None:
    """Inside the bounds and on the step, of Python's own types."""
    value = Axis(distribution).value(position)
    assert distribution._contains(distribution.to_internal_repr(value))
    assert type(value) is (int if isinstance(distribution, IntDistribution) else float)


@given(st.sampled_from(NUMERIC), st.floats(0, 1))
def test_a_value_stands_where_it_was_made(distribution: Numeric, share: float) -> None:
    """Position and value are inverse to each other on valid values."""
    axis = Axis(distribution)
    value = axis.value(axis.low + share * (axis.high - axis.low))
    assert axis.value(axis.position(value)) == pytest.approx(value, rel=1e-12)


def test_a_logarithmic_axis_is_measured_in_decades() -> None:
    """And has no place for zero."""
    axis = Axis(FloatDistribution(1e-6, 1e-2, log=True))
    assert (axis.low, axis.high) == pytest.approx((-6.0, -2.0))
    assert math.isnan(axis.position(0.0))


@given(st.sampled_from(ALL), st.integers(0, 7), st.integers(0, 2**32 - 1))
def test_a_value_drawn_from_a_level_belongs_to_it(
    distribution: BaseDistribution, level: int, seed: int
) -> None:
    """So that a trial counts for the context it was proposed for."""
    levels = Levels(distribution)
    level %= levels.count
    value = levels.draw(level, np.random.default_rng(seed))
    assert distribution._contains(distribution.to_internal_repr(value))
    if not isinstance(distribution, CategoricalDistribution) and distribution.step != 1:
        edge = isinstance(distribution, FloatDistribution) and distribution.step is not None
        assert edge or levels.of(value) == level
    else:
        assert levels.of(value) is not None


@pytest.mark.parametrize("distribution", ALL)
def test_values_of_another_space_have_no_level(distribution: BaseDistribution) -> None:
    """Unknown choices and values out of bounds."""
    assert Levels(distribution).of("unheard of") is None
    assert Levels(distribution).of(1e9) is None


def test_few_integers_are_levels_and_many_are_binned() -> None:
    """Four of four, four bins of a hundred, choices as they are."""
    assert [Levels(d).count for d in (IntDistribution(1, 4), IntDistribution(1, 100), ALL[-1])] == [4, 4, 4]
    assert [Levels(IntDistribution(1, 4)).of(value) for value in (1, 2, 3, 4)] == [0, 1, 2, 3]
