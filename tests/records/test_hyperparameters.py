"""The table of hyperparameters: complete, and the only list of what can be searched."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabsearch.config.search import Search
from stabsearch.frontier.prior import CONTEXT_FACTORS
from stabsearch.records import Context, Effective, Stage, TrialPlan, TrialRecord
from stabsearch.records.frame import COLUMNS
from stabsearch.records.hyperparameters import (
    FURTHER,
    HYPERPARAMETERS,
    IN_CONTEXT,
    PLACES,
    Hyperparameter,
    number,
)
from stabsearch.records.outcome import Outcome
from stabsearch.records.record import RECORD_VERSION

ROWS = list(HYPERPARAMETERS.values())
PLAN = TrialPlan(0, Stage.SEARCH, 3e-4, 100, 1.0, "bf16", 0, 0, 120)
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
further_row = pytest.mark.parametrize("row", FURTHER, ids=lambda row: row.name)


def values_of(row: Hyperparameter) -> st.SearchStrategy[Any]:
    """Return a strategy over legal values."""
    if row.is_whole:
        return st.integers(int(row.low), 10**6)
    top = row.below if math.isfinite(row.below) else 1e6
    return st.floats(row.low, top, exclude_min=not row.is_low_included, exclude_max=True)


@every_row
def test_every_row_says_everything(row: Hyperparameter) -> None:
    """Unit, bounds, scale, default, and how it takes effect: nothing is left to a second list."""
    assert row.unit
    assert row.takes_effect
    assert row.arguments
    assert row.is_legal(row.usual)
    assert len(row.examples) >= 2
    assert all(row.is_legal(value) or row.name == "warmup_steps" for value in row.examples)
    assert row.scale == "category" or row.scale in PLACES
    assert row.key in Search.model_fields


@every_row
def test_every_row_is_read_back(row: Hyperparameter) -> None:
    """The record has a place for what the live trainer was seen to do."""
    assert row.effective in {field.name for field in dataclasses.fields(Effective)} | set(dir(Effective))


def test_plans_contexts_tables_and_priors_know_all_of_them() -> None:
    """Each hyperparameter of the table is a field, a column and a factor, in one order."""
    names = [row.name for row in IN_CONTEXT]
    assert list(Context._fields) == names
    assert [factor.name for factor in CONTEXT_FACTORS] == names
    assert set(HYPERPARAMETERS) <= {field.name for field in dataclasses.fields(TrialPlan)} & set(COLUMNS)
    assert {row.key for row in FURTHER} <= set(Search.model_fields)


def test_names_of_runs_and_labels_are_told_apart() -> None:
    """No two hyperparameters have the same short name."""
    shorts = [row.short for row in ROWS if row.short]
    assert len(set(shorts)) == len(shorts) == len(ROWS) - 1


@given(st.sampled_from([row for row in ROWS if row.scale != "category"]).flatmap(
    lambda row: st.tuples(st.just(row), values_of(row), values_of(row))
))  # fmt: skip
def test_a_larger_value_never_stands_lower(drawn: tuple[Hyperparameter, float, float]) -> None:
    """Every scale is monotone on all that is legal, and a value survives text and back."""
    row, one, other = drawn
    low, high = sorted((one, other))
    assert row.place(low) <= row.place(high)
    assert row.read(str(one)) == one
    assert row.gentle([one, other]) in (one, other)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight_decay", -0.1), ("adam_beta1", 1.0), ("adam_beta2", -0.1), ("adam_epsilon", 0.0),
        ("per_device_train_batch_size", 0), ("per_device_train_batch_size", 1.5), ("weight_decay", math.inf),
        ("gradient_accumulation_steps", 0), ("adam_epsilon", "tiny"), ("learning_rate", 0.0),
    ],
)  # fmt: skip
def test_what_no_trial_could_run_with_is_refused_with_what_is_allowed(name: str, value: Any) -> None:
    """Out of bounds, infinite, no whole number, no number at all."""
    with pytest.raises(ValueError, match=r"allowed: a (whole )?number"):
        HYPERPARAMETERS[name].read(value)


def test_the_gentlest_values_are_the_usual_ones_and_the_largest_batch() -> None:
    """What the canary has."""
    chosen = {
        "weight_decay": ([0.1, 0.01], 0.01),
        "adam_beta1": ([0.5, 0.8, 0.99], 0.8),
        "adam_beta2": ([0.9, 0.999, 0.9999], 0.999),
        "adam_epsilon": ([1e-4, 1e-7], 1e-7),
        "per_device_train_batch_size": ([8, 64, 16], 64),
        "gradient_accumulation_steps": ([1, 4], 4),
    }
    assert set(chosen) == {row.name for row in FURTHER}
    for name, (values, gentlest) in chosen.items():
        assert HYPERPARAMETERS[name].gentle(values) == gentlest


@further_row
def test_a_context_shows_what_is_searched_and_nothing_else(row: Hyperparameter) -> None:
    """In its label, in the run's name, and in what the Trainer is given."""
    plain, value = PLAN.context, row.examples[1]
    plan = dataclasses.replace(PLAN, **{row.name: value})
    assert plan.context.label == f"{plain.label} · {row.short} {number(value)}"
    assert plan.run_name.startswith("lr3e-4_w100_c1_bf16_")
    assert plan.run_name.endswith("_s0")
    assert row.short in plan.run_name
    assert plan.arguments == {**PLAN.arguments, row.name: value}
    assert plan.context.further == {row.name: value}
    assert Context.of(plan.context.settings) == plan.context


def test_without_further_axes_nothing_has_changed() -> None:
    """Names and arguments of a usual trial."""
    assert PLAN.run_name == "lr3e-4_w100_c1_bf16_s0"
    assert PLAN.context == Context("bf16", 100, 1.0)
    assert PLAN.arguments == {"learning_rate": 3e-4, "warmup_steps": 100, "max_grad_norm": 1.0}


def test_contexts_are_ordered_also_where_some_search_less() -> None:
    """A value that is not searched comes first."""
    plain = Context("fp32", 0, 1.0)
    contexts = [Context("fp32", 0, 1.0, 0.1), Context("fp32", 0, 1.0, 0.0), plain, Context("bf16", 0, 1.0)]
    in_order = sorted(contexts, key=lambda context: context.order)
    assert in_order == [plain, contexts[1], contexts[0], contexts[3]]


@pytest.mark.parametrize("version", range(1, RECORD_VERSION))
def test_records_from_before_the_further_axes_still_read(version: int) -> None:
    """Their plans and read-backs name none, which is what "not searched" means."""
    effective = Effective(
        1.0, 1.0, 1.0, "float32", "float32", False, "ieee", "cpu", 16, "AdamW", (0.9, 0.999)
    )
    data = TrialRecord(PLAN, Outcome.STABLE, effective=effective).to_json()
    for row in FURTHER:
        del data["plan"][row.name]
    for name in ("weight_decay", "adam_epsilon", "gradient_accumulation_steps", "num_processes"):
        del data["effective"][name]
    record = TrialRecord.from_json({**data, "version": version})
    assert record.plan == PLAN
    assert record.effective is not None
    assert (record.effective.adam_beta1, record.effective.adam_beta2) == (0.9, 0.999)
    assert math.isnan(record.effective.weight_decay)
