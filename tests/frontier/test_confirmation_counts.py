"""Exact binomial statements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from stabsearch.frontier import confirmation_trials, failure_bound

unit = st.floats(0.01, 0.99)


@pytest.mark.parametrize(("risk", "confidence", "trials"), [(0.1, 0.9, 22), (0.05, 0.95, 59), (0.5, 0.5, 1)])
def test_known_numbers_of_confirmation_trials(risk: float, confidence: float, trials: int) -> None:
    """22 clean seeds for one in ten at 90 %; the rule of three's 59 for one in twenty at 95 %."""
    assert confirmation_trials(risk, confidence) == trials


@given(unit, unit)
def test_confirmation_trials_are_just_enough(risk: float, confidence: float) -> None:
    """That many survivors prove the risk, one fewer does not."""
    trials = confirmation_trials(risk, confidence)
    assert failure_bound(0, trials, confidence) <= risk + 1e-6
    assert trials == 1 or failure_bound(0, trials - 1, confidence) > risk - 1e-6


@given(st.integers(0, 30), st.integers(1, 30), unit)
def test_the_bound_is_where_so_few_failures_become_unlikely(
    failed: int, more: int, confidence: float
) -> None:
    """Definition of Clopper and Pearson: P(at most this many failures) = 1 - confidence."""
    bound = failure_bound(failed, failed + more, confidence)
    assert binom.cdf(failed, failed + more, bound) == pytest.approx(1 - confidence, abs=1e-6)


def test_without_survivors_nothing_is_bounded() -> None:
    """No trials, or only failures."""
    assert failure_bound(0, 0, 0.9) == failure_bound(3, 3, 0.9) == 1.0


@pytest.mark.parametrize(("failed", "trials"), [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(failed: int, trials: int) -> None:
    """More failures than trials cannot be."""
    with pytest.raises(ValueError, match="failed must be between 0 and"):
        failure_bound(failed, trials, 0.9)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_certainty_is_refused(value: float) -> None:
    """No number of trials proves it."""
    with pytest.raises(ValueError, match="max_failure_probability"):
        confirmation_trials(value, 0.9)
    with pytest.raises(ValueError, match="confidence"):
        confirmation_trials(0.1, value)
