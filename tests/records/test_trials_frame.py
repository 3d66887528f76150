"""The table behind ``trials.csv``: one row per trial, columns that users may rely on."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pandas as pd

from stabsearch.records import Cause, Effective, Grade, Outcome, Stage, StepTrace, TrialPlan, TrialRecord
from stabsearch.records.frame import COLUMNS, trials_frame
from stabsearch.records.ramp import as_ramp

CONTRACT = {
    "number", "outcome", "cause", "learning_rate", "warmup_steps", "max_grad_norm", "precision", "model_seed",
    "data_seed", "horizon", "steps", "first_bad_step", "stage",
}  # fmt: skip

PLAN = TrialPlan(3, Stage.SEARCH, 3e-4, 100, 1.0, "bf16", 11, 12, 120)
EFFECTIVE = Effective(3e-4, 2e-4, 1.0, "bfloat16", "float32", False, "ieee", "cpu", 16, "AdamW", (0.9, 0.999))
STABLE = TrialRecord(
    PLAN,
    Outcome.STABLE,
    grade=Grade.CLEAN,
    steps=120,
    trace=StepTrace((1, 2, 3), (2.0, 3.0, 1.0), (5.0, math.nan, 4.0)),
    effective=EFFECTIVE,
)
BROKEN = TrialRecord(
    replace(PLAN, number=1),
    Outcome.NONFINITE,
    cause=Cause.LEARNING_RATE,
    first_bad_step=2,
    steps=1,
    trace=StepTrace((1, 2), (2.0, math.inf), (math.inf, math.nan)),
)


def test_the_columns_are_those_of_the_contract_and_more() -> None:
    """Also without a single trial."""
    assert list(trials_frame([]).columns) == list(COLUMNS)
    assert set(COLUMNS) >= CONTRACT


def test_rows_come_in_trial_order() -> None:
    """However the trials finished."""
    assert trials_frame([STABLE, BROKEN])["number"].tolist() == [1, 3]


def test_a_row_says_what_the_record_says() -> None:
    """Plan, result and what was read back from the trainer."""
    row = trials_frame([STABLE]).iloc[0]
    assert (row["stage"], row["outcome"], row["grade"]) == ("search", "stable", "clean")
    assert (row["learning_rate"], row["warmup_steps"], row["precision"]) == (3e-4, 100, "bf16")
    assert (row["model_seed"], row["data_seed"], row["horizon"], row["steps"]) == (11, 12, 120, 120)
    assert (row["first_loss"], row["max_loss"], row["last_loss"]) == (2.0, 3.0, 1.0)
    assert (row["max_recorded_grad_norm"], row["autocast_dtype"], row["device"]) == (5.0, "bfloat16", "cpu")


def test_a_ramp_is_a_row_that_says_where_it_began() -> None:
    """Its learning rate is the last one; of ordinary trials the first column is empty."""
    ramp = replace(STABLE, plan=as_ramp(replace(PLAN, number=4), 1e-5, 1.0))
    frame = trials_frame([STABLE, ramp]).set_index("number")
    assert (frame["stage"][4], frame["ramp_from"][4], frame["learning_rate"][4]) == ("ramp", 1e-5, 1.0)
    assert math.isnan(frame["ramp_from"][3])


def test_losses_of_a_broken_trial_are_its_finite_ones() -> None:
    """A table for people holds no infinity; the record does."""
    row = trials_frame([BROKEN]).iloc[0]
    assert (row["first_loss"], row["last_loss"], row["max_loss"]) == (2.0, 2.0, 2.0)
    assert math.isnan(row["max_recorded_grad_norm"])
    assert (row["outcome"], row["cause"], row["first_bad_step"]) == ("nonfinite", "learning_rate", 2)


def test_the_first_bad_step_stays_a_whole_number_beside_empty_ones() -> None:
    """In the CSV it reads 2, not 2.0, and nothing where nothing was bad."""
    text = trials_frame([STABLE, BROKEN]).to_csv(index=False)
    column = pd.read_csv(io.StringIO(text), dtype=str)["first_bad_step"]
    assert column[0] == "2"
    assert pd.isna(column[1])
