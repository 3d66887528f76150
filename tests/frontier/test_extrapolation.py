"""The frontier over the full run: an assumption with an interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from round_samples import BF16, FP32, fitted, plan_of, searched

from stabsearch.frontier.extrapolation import extrapolated, full_run_thresholds
from stabsearch.records import Outcome
from stabsearch.testing.records import record_of


@given(st.floats(1e-3, 0.999), st.floats(2.5, 40))
def test_thresholds_move_down_by_the_stated_law(share: float, slope: float) -> None:
    """theta - k ln(1 / share) / slope with k from 0.3 to 1, evenly."""
    down = -full_run_thresholds(np.zeros(101), np.full(101, slope), share) * slope / math.log(1 / share)
    assert down.min() == pytest.approx(0.3)
    assert down.max() == pytest.approx(1.0)
    assert np.median(down) == pytest.approx(0.65)


def test_a_longer_run_has_a_lower_and_less_certain_frontier() -> None:
    """The interval holds what was measured and what was assumed."""
    frontier = fitted(searched())
    row = frontier.rows[0]
    (far,), (near,) = extrapolated(frontier, 0.05), extrapolated(frontier, 0.5)
    assert far.low is not None
    assert far.learning_rate < near.learning_rate < row.lr_safe
    assert far.low < row.lr_low
    assert far.high / far.low > row.lr_high / row.lr_low
    assert far.label == "extrapolated, not measured"


@pytest.mark.parametrize("share", [None, 1.0, 1.5])
def test_nothing_is_extrapolated_without_need_or_knowledge(share: float | None) -> None:
    """The trials cover the full run, or nobody knows how much of it they cover."""
    assert extrapolated(fitted(searched()), share) == ()


def test_contexts_without_a_frontier_have_none_over_the_full_run() -> None:
    """Dead ones, and those of which too little is known."""
    dead = [record_of(plan_of(20 + i, 1e-5 * (1 + i), context=BF16), Outcome.NONFINITE) for i in range(16)]
    found = extrapolated(fitted([*searched(), *dead], (FP32, BF16)), 0.2)
    assert [each.context for each in found] == [FP32]
    assert extrapolated(fitted([]), 0.2) == ()
