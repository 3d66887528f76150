"""What must hold of the frontier whatever the trials are."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from frontier_samples import BF16, FP32, RANGE, Row, rows, table
from hypothesis import given, settings
from hypothesis import strategies as st

from stabsearch.frontier import Frontier, fit
from stabsearch.frontier.likelihood import STEP

light = settings(max_examples=40, deadline=None)


def fitted(trials: list[Row], confidence: float = 0.9) -> Frontier:
    return fit(table(trials), 0.1, RANGE, confidence, contexts=[FP32, BF16])


@light
@given(rows(), st.floats(-6, -2), st.integers(1, 3))
def test_more_failures_at_a_rate_never_make_it_look_safer(trials: list[Row], x: float, extra: int) -> None:
    """Neither the probability that the rate is safe rises, nor its failure probability falls."""
    before, after = fitted(trials), fitted([*trials, *[(x, FP32, True)] * extra])
    position = [each.context for each in before.trials].index(FP32)
    at = math.log10(10.0**x)
    assert (
        after.posterior.safe_probability(at)[position]
        <= before.posterior.safe_probability(at)[position] + 1e-12
    )
    assert after.failure(position, at)[0] >= before.failure(position, at)[0] - 1e-12


@light
@given(rows(), st.floats(-6, -2), st.integers(1, 3))
def test_more_failures_at_a_rate_never_raise_the_frontier_above_it(
    trials: list[Row], x: float, extra: int
) -> None:
    """A frontier below the rate stays below it, one above it does not move up (to one grid cell)."""
    before, after = fitted(trials), fitted([*trials, *[(x, FP32, True)] * extra])
    position = [each.context for each in before.trials].index(FP32)
    for quantile in (0.05, 0.5, 0.95):
        old, new = (f.posterior.quantile(quantile)[position] for f in (before, after))
        assert new <= max(old, x) + STEP


@light
@given(rows(), st.floats(-6, -2))
def test_more_survivors_at_a_rate_never_make_it_look_riskier(trials: list[Row], x: float) -> None:
    """The mirror image of the law for failures."""
    before, after = fitted(trials), fitted([*trials, (x, FP32, False)])
    position = [each.context for each in before.trials].index(FP32)
    assert after.failure(position, x)[0] <= before.failure(position, x)[0] + 1e-12


@light
@given(rows())
def test_relabelling_the_contexts_permutes_the_answer(trials: list[Row]) -> None:
    """Swapping the names of two precisions swaps their rows and changes no number."""
    names = {FP32: FP32._replace(precision="tf32"), BF16: BF16._replace(precision="fp32")}
    renamed = fit(table([(x, names[c], f) for x, c, f in trials]), 0.1, RANGE, contexts=list(names.values()))
    original = {row[:3]: row[3:] for row in fitted(trials).table.itertuples(index=False, name=None)}
    for row in renamed.table.itertuples(index=False, name=None):
        context = next(old for old, new in names.items() if new[:3] == row[:3])
        numbers, others = row[3:7], row[7:]
        assert numbers == pytest.approx(original[context[:3]][:4], rel=1e-6, nan_ok=True)
        assert others == original[context[:3]][4:]


@light
@given(rows(), st.randoms(use_true_random=False))
def test_the_order_of_the_trials_does_not_matter(trials: list[Row], random: object) -> None:
    """Shuffled rows give the same frontier, to the last bit."""
    shuffled = list(trials)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(fitted(shuffled).table, fitted(trials).table, check_exact=True)


@light
@given(rows(), st.sampled_from([0.5, 0.8, 0.9, 0.99]))
def test_the_json_round_trip_is_exact(trials: list[Row], confidence: float) -> None:
    """What is read back is equal, predicts the same and writes the same."""
    frontier = fitted(trials, confidence)
    text = json.dumps(frontier.to_json(), allow_nan=False)
    restored = Frontier.from_json(json.loads(text))
    assert restored == frontier
    assert json.dumps(restored.to_json()) == text
    assert np.array_equal(restored.posterior.threshold_weight, frontier.posterior.threshold_weight)


@light
@given(rows(24), st.sampled_from([0.5, 0.9]))
def test_a_failed_configuration_is_never_recommended(trials: list[Row], confidence: float) -> None:
    """The recommended rate lies in the range, and below every rate that failed in its context."""
    frontier = fitted(trials, confidence)
    recommended = frontier.recommend()
    assert (recommended is None) == bool(frontier.why_not)
    if recommended is not None:
        failed = [
            10.0**x for x, context, has_failed in trials if has_failed and context == recommended.context
        ]
        assert RANGE[0] <= recommended.learning_rate <= RANGE[1]
        assert recommended.learning_rate < min(failed, default=math.inf)


@light
@given(rows(), st.sampled_from([0.5, 0.9, 0.99]))
def test_intervals_enclose_the_frontier_and_stay_in_the_range(trials: list[Row], confidence: float) -> None:
    """``lr_low <= lr_safe <= lr_high`` wherever they are numbers."""
    for row in fitted(trials, confidence).table.itertuples():
        numbers = [v for v in (RANGE[0], row.lr_low, row.lr_safe, row.lr_high, RANGE[1]) if not math.isnan(v)]
        assert numbers == sorted(numbers)
