"""The learning rates that a sharpness points to."""

from __future__ import annotations

import math

import pytest

from stabsearch.records.sharpness import Sharpness, as_sharpness


def measured(at_start: float | None, after_warmup: float | None, beta1: float = 0.9) -> Sharpness:
    return Sharpness(at_start, after_warmup, beta1, num_steps=20, learning_rate=2e-5, num_products=20)


def test_the_bracket_is_adams_threshold_over_the_sharpness() -> None:
    """38 over the sharpness for beta1 = 0.9, and lower ends first however they were measured."""
    assert measured(38e3, 380.0).bracket == pytest.approx((1e-3, 1e-1))
    assert measured(380.0, 38e3).bracket == pytest.approx((1e-3, 1e-1))


def test_without_momentum_the_threshold_is_that_of_gradient_descent() -> None:
    """2 over the sharpness."""
    assert measured(200.0, 20.0, beta1=0.0).bracket == pytest.approx((1e-2, 1e-1))


def test_one_known_sharpness_is_a_bracket_without_width() -> None:
    """And none is no bracket."""
    assert measured(None, 380.0).bracket == pytest.approx((0.1, 0.1))
    assert measured(3800.0, None).bracket == pytest.approx((0.01, 0.01))
    assert measured(None, None).bracket is None


@pytest.mark.parametrize("value", [0.0, -5.0, math.nan, math.inf, -math.inf])
def test_what_is_not_positive_and_finite_is_no_sharpness(value: float) -> None:
    """Negative curvature bounds no learning rate."""
    assert as_sharpness(value) is None
    assert as_sharpness(2.5) == 2.5
