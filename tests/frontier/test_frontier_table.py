"""From trial tables to verdicts, intervals and predictions."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from frontier_samples import BF16, COLUMNS, FP32, RANGE, bracket, table

from stabsearch.errors import UserError
from stabsearch.frontier import ContextVerdict, TableError, fit
from stabsearch.records import Context


def row_of(trials: pd.DataFrame, context: Context, confidence: float = 0.9) -> pd.Series:
    """Return one context's row of the frontier's table."""
    found = fit(trials, 0.1, RANGE, confidence, contexts=[FP32, BF16]).table
    return found.set_index("precision").loc[context.precision]


def test_a_closely_enclosed_boundary_is_found() -> None:
    """Survivors below and failures above 1e-4 put the frontier near it, inside its interval."""
    row = row_of(table(bracket(FP32, -4.0)), FP32)
    assert row["verdict"] == ContextVerdict.BOUNDED
    assert -4.25 < math.log10(row["lr_safe"]) < -3.95  # on the safe side: slopes count as shallow
    assert row["lr_low"] < 1e-4 < row["lr_high"]
    assert (row["num_trials"], row["num_failed"]) == (24, 12)
    assert row["width_decades"] == pytest.approx(math.log10(row["lr_high"] / row["lr_low"]))


def test_survivors_at_the_top_mean_stable_to_the_top() -> None:
    """Nothing ever failed, up to the highest rate: no boundary in the range."""
    row = row_of(table([(-2.0, FP32, False)] * 6), FP32)
    assert row["verdict"] == ContextVerdict.STABLE_TO_TOP
    assert row["lr_safe"] == row["lr_high"] == RANGE[1]


def test_failures_at_the_bottom_mean_no_stable_region() -> None:
    """Even the lowest rate fails: no rate is called safe, not even the lowest."""
    row = row_of(table([(-6.0, FP32, True)] * 4), FP32)
    assert row["verdict"] == ContextVerdict.NO_STABLE_REGION
    assert row[["lr_safe", "lr_low", "lr_high"]].isna().all()


def test_nothing_is_called_bounded_before_a_rate_in_the_range_is_likely_safe() -> None:
    """A few failures from the middle down: probably dead, but not certainly, hence no verdict yet."""
    row = row_of(table([(-4.0, FP32, True), (-5.0, FP32, True), (-5.7, FP32, True)]), FP32)
    assert row["verdict"] == ContextVerdict.NOT_ENOUGH_EVIDENCE
    assert math.isnan(row["lr_safe"])


@pytest.mark.parametrize("trials", [[], [(-4.0, FP32, True)], [(-5.5, FP32, False), (-2.5, FP32, True)]])
def test_few_trials_are_not_enough_evidence(trials: list[tuple[float, Context, bool]]) -> None:
    """None, one, or a gap of three decades between the last survivor and the first failure."""
    row = row_of(table(trials), FP32)
    assert row["verdict"] == ContextVerdict.NOT_ENOUGH_EVIDENCE
    assert math.isnan(row["lr_safe"])
    assert RANGE[0] <= row["lr_low"] < row["lr_high"] <= RANGE[1]


def test_a_dead_precision_does_not_drag_a_healthy_one_down() -> None:
    """Five failures at the lowest rate of bf16 leave the frontier of fp32 where it was."""
    alone = row_of(table(bracket(FP32, -4.0)), FP32)
    beside = row_of(table([*bracket(FP32, -4.0), *[(-6.0, BF16, True)] * 5]), FP32)
    assert beside["lr_safe"] == pytest.approx(alone["lr_safe"], rel=0.1)
    assert beside["lr_low"] >= 0.9 * alone["lr_low"]


def test_no_stable_region_has_to_be_seen() -> None:
    """Ten failures, none of them near the low end of the range, only leave it open."""
    high = [(-3.0 - 0.2 * i, FP32, True) for i in range(11)]
    assert row_of(table(high), FP32)["verdict"] != ContextVerdict.NO_STABLE_REGION
    low = [(-5.95, FP32, True)] * 6
    assert row_of(table([*high, *low]), FP32)["verdict"] == ContextVerdict.NO_STABLE_REGION


def test_contexts_learn_from_each_other() -> None:
    """One survivor and one failure say more in a context whose neighbour is well known."""
    few = [(-4.6, BF16, False), (-3.4, BF16, True)]
    alone = row_of(table(few), BF16)
    beside = row_of(table([*few, *bracket(FP32, -4.0)]), BF16)
    assert beside["width_decades"] < 0.9 * alone["width_decades"]


def test_trials_that_prove_nothing_are_left_out() -> None:
    """Out of memory, lost and the like change nothing, whatever else stands in their rows."""
    trials = table(bracket(FP32, -4.0))
    noise = pd.DataFrame(
        [
            (math.nan, "fp32", 0, 1.0, "oom"),
            (1e-6, "fp32", 0, 1.0, "lost"),
            (1e-6, None, 0, 1.0, "data_fault"),
        ],
        columns=COLUMNS,
    )
    pd.testing.assert_series_equal(row_of(pd.concat([trials, noise]), FP32), row_of(trials, FP32))


@pytest.mark.parametrize("outcome", ["nonfinite", "diverged", "collapsed", "scale_floor"])
def test_every_hyperparameter_failure_counts_alike(outcome: str) -> None:
    """How a trial failed does not matter to where the frontier lies."""
    trials = table(bracket(FP32, -4.0))
    renamed = trials.assign(outcome=trials["outcome"].replace("diverged", outcome))
    pd.testing.assert_series_equal(row_of(renamed, FP32), row_of(trials, FP32))


def test_a_trial_outside_the_range_still_counts() -> None:
    """A failure far below the range makes the range's bottom unsafe."""
    frontier = fit(table([(-7.5, FP32, True)] * 4), 0.1, RANGE)
    assert frontier.table.loc[0, "verdict"] == ContextVerdict.NO_STABLE_REGION


def test_without_a_range_the_trials_give_it() -> None:
    """The lowest and highest rate among the evidence."""
    frontier = fit(table(bracket(FP32, -4.0)))
    assert frontier.learning_rate_range == pytest.approx((10**-5.2, 10**-2.8))


def test_a_range_that_is_a_point_is_answered() -> None:
    """Zero width: the question is whether that one rate is safe."""
    safe = fit(table([(-4.0, FP32, False)] * 30), 0.1, (1e-4, 1e-4))
    unsafe = fit(table([(-4.0, FP32, True)] * 5), 0.1, (1e-4, 1e-4))
    assert safe.table.loc[0, ["lr_low", "lr_high"]].tolist() == [1e-4, 1e-4]
    assert unsafe.table.loc[0, "verdict"] == ContextVerdict.NO_STABLE_REGION


def test_more_confidence_means_wider_intervals() -> None:
    """At 99 % the interval encloses the one at 80 %."""
    trials = table(bracket(FP32, -4.0))
    narrow, wide = row_of(trials, FP32, 0.8), row_of(trials, FP32, 0.99)
    assert wide["lr_low"] < narrow["lr_low"] < narrow["lr_high"] < wide["lr_high"]


def test_a_smaller_risk_means_a_lower_frontier() -> None:
    """The rate that breaks 2 % of the runs lies below the one that breaks 30 %."""
    trials = table(bracket(FP32, -4.0))
    low, high = (fit(trials, risk, RANGE).table.loc[0, "lr_safe"] for risk in (0.02, 0.3))
    assert low < high


def test_predictions_rise_with_the_rate_and_lie_in_their_intervals() -> None:
    """One row per configuration, under its own index."""
    frontier = fit(table(bracket(FP32, -4.0)), 0.1, RANGE)
    configs = table([(x, FP32, False) for x in np.linspace(-6, -2, 9)]).drop(columns="outcome")
    configs.index = pd.Index([f"c{i}" for i in range(9)])
    predicted = frontier.predict(configs)
    assert list(predicted.columns) == ["failure_probability", "probability_low", "probability_high"]
    assert predicted.index.equals(configs.index)
    assert predicted["failure_probability"].is_monotonic_increasing
    assert predicted["failure_probability"].iloc[0] < 0.05 < 0.9 < predicted["failure_probability"].iloc[-1]
    assert (predicted["probability_low"] <= predicted["failure_probability"]).all()
    assert (predicted["failure_probability"] <= predicted["probability_high"]).all()


def test_at_the_frontier_the_failure_probability_is_near_the_risk() -> None:
    """That is what the frontier is defined by."""
    frontier = fit(table(bracket(FP32, -4.0)), 0.1, RANGE)
    at = pd.DataFrame([{"learning_rate": frontier.table.loc[0, "lr_safe"], **FP32.settings}])
    assert 0.05 < frontier.predict(at)["failure_probability"].iloc[0] < 0.25


def test_a_context_that_was_not_searched_is_refused() -> None:
    """Naming it and the contexts that are known."""
    frontier = fit(table(bracket(FP32, -4.0)), 0.1, RANGE)
    with pytest.raises(TableError, match="bf16 · warmup 100 · no clip") as caught:
        frontier.predict(table([(-4.0, BF16, False)]))
    assert FP32.label in caught.value.hint


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("learning_rate", 0.0, r"row 1: column 'learning_rate': got 0\.0"),
        ("learning_rate", -1e-3, "row 1: column 'learning_rate': got -0.001"),
        ("learning_rate", math.nan, "row 1: column 'learning_rate': got nan"),
        ("learning_rate", math.inf, "row 1: column 'learning_rate': got inf"),
        ("learning_rate", "fast", "row 1: column 'learning_rate': got 'fast'"),
        ("outcome", "exploded", "row 1: column 'outcome': unknown outcome 'exploded'"),
        ("outcome", None, "row 1: column 'outcome': unknown outcome"),
        ("precision", None, "row 1: column 'precision': not a precision"),
        ("warmup_steps", 0.06, "row 1: column 'warmup_steps': not a whole number: 0.06"),
        ("warmup_steps", -3, "row 1: column 'warmup_steps': got -3"),
        ("max_grad_norm", math.nan, "row 1: column 'max_grad_norm': got nan"),
    ],
)
def test_an_unusable_value_is_named_with_its_row_and_column(column: str, value: object, message: str) -> None:
    """Both kinds of catcher see it: it is a ValueError and something the user can put right."""
    trials = table([(-4.0, FP32, False), (-3.0, FP32, True)]).astype(object)
    trials.loc[1, column] = value
    with pytest.raises(ValueError, match=message) as caught:
        fit(trials, 0.1, RANGE)
    assert isinstance(caught.value, UserError)


def test_missing_columns_are_named() -> None:
    """All of them at once."""
    with pytest.raises(TableError, match="missing column 'precision', 'outcome'"):
        fit(table([]).drop(columns=["precision", "outcome"]), 0.1, RANGE)


def test_a_column_that_stands_twice_is_refused() -> None:
    """Which of the two is meant cannot be known."""
    trials = table([(-4.0, FP32, False)])
    with pytest.raises(TableError, match="column 'outcome' stands more than once"):
        fit(pd.concat([trials, trials[["outcome"]]], axis=1), 0.1, RANGE)


@pytest.mark.parametrize("bad", [(1e-2, 1e-6), (0.0, 1e-2), (-1.0, 1.0), (1e-6, math.inf), (math.nan, 1.0)])
def test_an_impossible_range_is_refused(bad: tuple[float, float]) -> None:
    """Turned around, touching zero, or not finite."""
    with pytest.raises(TableError, match="learning_rate_range: impossible range"):
        fit(table([]), 0.1, bad)


def test_no_evidence_and_no_range_is_refused() -> None:
    """There is nothing to span a grid over."""
    with pytest.raises(TableError, match="no trial is evidence"):
        fit(table([]))


@pytest.mark.parametrize(
    ("risk", "confidence"), [(0.0, 0.9), (0.5, 0.9), (math.nan, 0.9), (0.1, 1.0), (0.1, 0.4)]
)
def test_an_impossible_probability_is_refused(risk: float, confidence: float) -> None:
    """A risk of half or more, or a confidence below one half, is a mistake."""
    with pytest.raises(TableError, match="allowed: "):
        fit(table([]), risk, RANGE, confidence)
