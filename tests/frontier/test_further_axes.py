"""Contexts that differ in more than precision, warmup and clip norm."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from frontier_samples import BF16, FP32, RANGE, Row, bracket, table
from hypothesis import given, settings
from hypothesis import strategies as st

from stabsearch.frontier import Frontier, TableError, fit
from stabsearch.frontier.labels import relabel
from stabsearch.frontier.likelihood import Span
from stabsearch.frontier.prior import CONTEXT_FACTORS, context_prior
from stabsearch.frontier.sentences import words
from stabsearch.frontier.trials import contexts_of
from stabsearch.records import Context, Grade, Outcome, OutcomeRules, Stage, StepTrace, TrialPlan, TrialRecord
from stabsearch.records.frame import trials_frame
from stabsearch.records.hyperparameters import FURTHER, HYPERPARAMETERS, Hyperparameter

further_row = pytest.mark.parametrize("row", FURTHER, ids=lambda row: row.name)
SPAN = Span(-6.0, -2.0)


def pair(row: Hyperparameter) -> tuple[Context, Context]:
    """Return two contexts that differ in one further hyperparameter only, the usual value first."""
    values = row.by_distance(row.examples)
    return tuple(FP32._replace(**{row.name: value}) for value in values)  # type: ignore[return-value]


@further_row
def test_each_value_has_a_frontier_of_its_own(row: Hyperparameter) -> None:
    """And the table says by which value."""
    low, high = pair(row)
    found = fit(table([*bracket(low, -4.5), *bracket(high, -3.5)]), 0.1, RANGE)
    rows = {each.context: each for each in found.rows}
    assert rows[low].lr_high < rows[high].lr_low
    assert list(found.table.columns[:4]) == ["precision", "warmup_steps", "max_grad_norm", row.name]
    assert set(found.table[row.name]) == set(row.examples)
    (effect,) = found.effects
    assert (effect.factor, effect.value) == (row.name, getattr(high, row.name))
    assert effect.baseline == getattr(low, row.name)
    assert 5 < effect.ratio < 20


@further_row
def test_the_document_keeps_it(row: Hyperparameter) -> None:
    """Exactly, through strict JSON."""
    found = fit(table([*bracket(pair(row)[0], -4.5), *bracket(pair(row)[1], -3.5)]), 0.1, RANGE)
    again = Frontier.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again == found
    pd.testing.assert_frame_equal(again.table, found.table)


def test_a_document_from_before_the_further_axes_is_read() -> None:
    """A sweep may learn from an older one."""
    found = fit(table(bracket(FP32, -4.0)), 0.1, RANGE)
    assert Frontier.from_json({**found.to_json(), "version": 2}) == found
    with pytest.raises(ValueError, match="frontier of version 1, this reads 2 and 3"):
        Frontier.from_json({**found.to_json(), "version": 1})


def test_the_recommendation_says_what_it_was_found_with() -> None:
    """In the sentence too."""
    wide = FP32._replace(adam_beta2=0.95, per_device_train_batch_size=32)
    found = fit(table([*bracket(wide, -3.0), *bracket(wide._replace(adam_beta2=0.999), -4.5)]), 0.1, RANGE)
    best = found.recommend()
    assert best is not None
    assert best.context == wide
    assert "adam_beta2 0.95 and per_device_train_batch_size 32" in words(best)


def predicted(frontier: Frontier, **columns: Any) -> float:
    configs = pd.DataFrame([{"learning_rate": 1e-3, **FP32.settings, **columns}])
    return float(frontier.predict(configs)["failure_probability"].iloc[0])


def test_a_prediction_is_for_the_value_that_was_asked_about() -> None:
    """Whatever else the configuration names."""
    low, high = (FP32._replace(weight_decay=value) for value in (0.0, 0.1))
    found = fit(table([*bracket(low, -4.5), *bracket(high, -2.2)]), 0.1, RANGE)
    assert predicted(found, weight_decay=0.0) > 0.8 > 0.2 > predicted(found, weight_decay=0.1)
    assert predicted(found, weight_decay=0.1, adam_beta2=0.5) == predicted(found, weight_decay=0.1)


def test_a_prediction_names_what_it_needs() -> None:
    """A missing column where several values were searched; not where only one was."""
    low, high = (FP32._replace(weight_decay=value) for value in (0.0, 0.1))
    both = fit(table([*bracket(low, -4.5), *bracket(high, -2.5)]), 0.1, RANGE)
    with pytest.raises(TableError, match="missing column 'weight_decay'"):
        predicted(both)
    with pytest.raises(TableError, match=r"no trials were planned for .* wd 0.2"):
        predicted(both, weight_decay=0.2)
    one = fit(table(bracket(high, -2.5)), 0.1, RANGE)
    assert predicted(one) == predicted(one, weight_decay=0.1)


def test_a_frontier_without_further_axes_ignores_their_columns() -> None:
    """A user may predict for whole sets of TrainingArguments."""
    found = fit(table(bracket(FP32, -4.0)), 0.1, RANGE)
    assert predicted(found, weight_decay=0.3, adam_epsilon="whatever") == predicted(found)


@pytest.mark.parametrize(("name", "value"), [("adam_beta2", 1.0), ("per_device_train_batch_size", 1.5)])
def test_an_impossible_value_is_named_with_its_row_and_column(name: str, value: float) -> None:
    """In the user's words."""
    trials = table(bracket(FP32, -4.0)).assign(**{name: value})
    with pytest.raises(TableError, match=rf"row 0: column '{name}': got {value}") as caught:
        fit(trials, 0.1, RANGE)
    assert HYPERPARAMETERS[name].allowed in caught.value.hint


def plan_of(number: int, **changes: Any) -> TrialPlan:
    return replace(TrialPlan(number, Stage.SEARCH, 1e-3, 0, 1.0, "fp32", 0, 0, 40), **changes)


settings_of = st.fixed_dictionaries(
    {}, optional={row.name: st.sampled_from([*row.examples, row.usual]) for row in FURTHER}
)


@given(st.lists(settings_of, min_size=1, max_size=6))
def test_contexts_survive_the_table_and_its_file(drawn: list[dict[str, Any]]) -> None:
    """``trials.csv`` read again tells the same contexts apart, also where some search less."""
    plans = [plan_of(number, **settings) for number, settings in enumerate(drawn)]
    frame = trials_frame(TrialRecord(plan, Outcome.STABLE) for plan in plans)
    text = frame.to_csv(index=False)
    again = pd.read_csv(io.StringIO(text), float_precision="round_trip")
    assert contexts_of(frame) == contexts_of(again) == [plan.context for plan in plans]


@settings(max_examples=50)
@given(st.lists(settings_of, min_size=2, max_size=8))
def test_the_prior_is_a_covariance_whatever_is_searched(drawn: list[dict[str, Any]]) -> None:
    """Symmetric, positive definite, and contexts that are alike in more resemble each other more."""
    contexts = [Context.of({**FP32.settings, **each}) for each in drawn]
    covariance_CC = context_prior(contexts, SPAN).covariance_CC
    assert np.allclose(covariance_CC, covariance_CC.T)
    assert np.linalg.eigvalsh(covariance_CC).min() > 0
    for i, one in enumerate(contexts):
        for j, other in enumerate(contexts):
            assert (covariance_CC[i, j] <= covariance_CC[i, i] + 1e-9) or one == other


@further_row
def test_an_axis_that_is_not_searched_widens_nothing(row: Hyperparameter) -> None:
    """One value of it for all is no news; two are told apart by its own standard deviation."""
    factor = next(each for each in CONTEXT_FACTORS if each.name == row.name)
    low, high = pair(row)
    alone = context_prior([FP32, BF16], SPAN).covariance_CC
    assert alone[0, 0] == pytest.approx(1.0**2 + 0.25**2 + sum(each.sd**2 for each in CONTEXT_FACTORS[:3]))
    apart = context_prior([low, high], SPAN).covariance_CC
    own_CC = apart - factor.sd**2 * factor.correlation([getattr(low, row.name), getattr(high, row.name)])
    assert own_CC[0, 1] == pytest.approx(alone[0, 0] - 0.25**2)


@pytest.mark.parametrize("name", [factor.name for factor in CONTEXT_FACTORS])
def test_a_value_that_is_not_known_resembles_only_itself(name: str) -> None:
    """An earlier sweep did not say what it had."""
    factor = next(each for each in CONTEXT_FACTORS if each.name == name)
    correlation_CC = factor.correlation([None, HYPERPARAMETERS[name].usual, None])
    assert correlation_CC.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


STEPS = 40


def trained(number: int, end: float, rate: float, **changes: Any) -> TrialRecord:
    """Return a trial that went evenly from loss 1 to ``end``."""
    losses = [1 + (end - 1) * i / (STEPS - 1) for i in range(STEPS)]
    plan = plan_of(number, learning_rate=rate, horizon=STEPS, **changes)
    trace = StepTrace.thinned(losses, [1.0] * STEPS)
    return TrialRecord(plan, Outcome.STABLE, steps=STEPS, trace=trace, chance_loss=1.0)


@pytest.mark.parametrize("row", [row for row in FURTHER if row.sets_pace], ids=lambda row: row.name)
def test_slow_is_not_useless_where_the_pace_is_another(row: Hyperparameter) -> None:
    """A batch a quarter of the size learns less per step, and has not collapsed by it."""
    fast, slow = ({row.name: value} for value in row.examples)
    learners = [trained(number, 0.1, 1e-3, **fast) for number in range(6)]
    creeping = trained(6, 0.95, 2e-3, **slow)
    assert relabel([*learners, creeping], OutcomeRules())[-1].grade is Grade.UNTRAINED
    same = trained(6, 0.95, 2e-3, **fast)
    assert relabel([*learners, same], OutcomeRules())[-1].outcome is Outcome.COLLAPSED


@pytest.mark.parametrize("row", [row for row in FURTHER if not row.sets_pace], ids=lambda row: row.name)
def test_trials_of_one_pace_are_measured_by_each_other(row: Hyperparameter) -> None:
    """A weight decay that keeps a trial from learning is a failure."""
    one, other = ({row.name: value} for value in row.examples)
    learners = [trained(number, 0.1, 1e-3, **one) for number in range(6)]
    assert (
        relabel([*learners, trained(6, 0.95, 2e-3, **other)], OutcomeRules())[-1].outcome is Outcome.COLLAPSED
    )


def test_values_borrow_strength_from_each_other() -> None:
    """A neighbouring value with trials narrows one that has few."""
    near = FP32._replace(per_device_train_batch_size=16)
    far = FP32._replace(per_device_train_batch_size=17)
    few: list[Row] = bracket(far, -4.0)[:2]
    alone = fit(table(few), 0.1, RANGE)
    beside = fit(table([*few, *bracket(near, -4.0)]), 0.1, RANGE)
    width = {each.context: each.width_decades for each in beside.rows}
    assert width[far] < 0.7 * alone.rows[0].width_decades
