"""How a trial looks in MLflow, without MLflow."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracking_samples import SWEEP_ID, failed_record, make_record, make_sweep

from stabsearch.records import Cause, Outcome, StepTrace, TrialRecord
from stabsearch.tracking.layout import MAX_SERIES_POINTS, child_run, thinned_indices

if TYPE_CHECKING:
    from stabsearch.tracking.layout import ChildRun

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
TRACES = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=500).map(
    lambda pairs: StepTrace.thinned([loss for loss, _ in pairs], [norm for _, norm in pairs])
)


def child(record: TrialRecord) -> ChildRun:
    return child_run(record, make_sweep().training, SWEEP_ID)


@given(
    trace=TRACES,
    outcome=st.sampled_from(Outcome),
    clipped_share=NUMBERS,
    first_bad_step=st.none() | st.integers(1, 500),
)
def test_no_metric_is_ever_non_finite_and_there_are_few_of_them(
    trace: StepTrace, outcome: Outcome, clipped_share: float, first_bad_step: int | None
) -> None:
    """Whatever a trial went through, MLflow gets finite numbers under at most 15 names."""
    record = make_record(
        0, trace=trace, outcome=outcome, clipped_share=clipped_share, first_bad_step=first_bad_step
    )
    points = child(record).points
    assert all(math.isfinite(point.value) for point in points)
    assert len({point.key for point in points}) <= 15
    assert len(points) <= 900


@given(st.integers(0, 3000))
def test_a_long_series_keeps_its_ends(length: int) -> None:
    """A series is thinned to 200 points, and the first and last step stay."""
    kept = thinned_indices(length)
    assert len(kept) == min(length, MAX_SERIES_POINTS)
    assert kept == sorted(set(kept))
    assert not length or (kept[0], kept[-1]) == (0, length - 1)


def test_half_precision_weights_are_no_argument_and_shown_all_the_same() -> None:
    """Pure bfloat16 sets no field of TrainingArguments."""
    record = make_record(4)
    params = child(replace(record, plan=replace(record.plan, precision="bf16-pure"))).params
    shown = {name: params[name] for name in ("precision", "bf16", "fp16", "tf32", "parameter_dtype")}
    assert shown == {
        "precision": "bf16-pure", "bf16": "False", "fp16": "False", "tf32": "False",
        "parameter_dtype": "bfloat16",
    }  # fmt: skip


def test_params_have_hugging_face_names() -> None:
    """A run's params are those of TrainingArguments, flat, of the full run."""
    params = child(make_record(4)).params
    expected = {
        "learning_rate": "0.0003",
        "warmup_steps": "100",
        "max_grad_norm": "1.0",
        "precision": "bf16",
        "bf16": "True",
        "fp16": "False",
        "tf32": "False",
        "parameter_dtype": "float32",
        "seed": "7",
        "data_seed": "8",
        "max_steps": "2000",
        "horizon": "120",
        "optim": "adamw_torch",
        "per_device_train_batch_size": "16",
    }
    assert expected.items() <= params.items()


def test_names_and_identity_come_from_the_plan() -> None:
    """A run is named readably and can be found again by its uid."""
    run = child(make_record(4))
    assert run.name == "lr3e-4_w100_c1_bf16_s4"
    assert run.tags["stabsearch.uid"] == f"{SWEEP_ID}/4"
    assert run.tags["stabsearch.sweep_id"] == SWEEP_ID
    assert run.tags["stabsearch.stage"] == "search"


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_infrastructure_and_signals_end_a_run_otherwise_than_finished(outcome: Outcome) -> None:
    """A diverged trial is a measurement, so its run is FINISHED."""
    not_finished = {
        Outcome.OOM: "FAILED",
        Outcome.CRASHED: "FAILED",
        Outcome.LOST: "FAILED",
        Outcome.INTERRUPTED: "KILLED",
    }
    assert child(make_record(0, outcome=outcome)).status == not_finished.get(outcome, "FINISHED")


def test_a_failed_trial_says_where_and_why() -> None:
    """The metrics and tags of a failed trial name its first bad step and its cause."""
    run = child(failed_record(1))
    summary = {key: point.value for key, point in run.summary.items()}
    assert (summary["failed"], summary["first_bad_step"], summary["max_loss"]) == (1.0, 3.0, 90.0)
    assert summary["log10_learning_rate"] == pytest.approx(-3.523, abs=1e-3)
    assert run.labels["stabsearch.cause"] == "learning_rate"
    assert [point.step for point in run.points if point.key == "train_loss"] == [1, 2]


def test_a_trial_that_proves_nothing_is_neither_failed_nor_survived() -> None:
    """An out-of-memory has no value for ``failed``: a 0 would count it as a survivor."""
    assert "failed" not in child(make_record(0, outcome=Outcome.OOM, cause=Cause.UNKNOWN)).summary


def test_telling_twice_gives_the_same_times() -> None:
    """Times hang on the record alone, so that a metric told twice is one row."""
    run = child(make_record(0))
    assert run == child(make_record(0))
    assert run.started_ms == 1_700_000_000_000
    assert run.duration_ms == 2500
    assert max(point.offset_ms for point in run.points) == 2500


def test_a_trial_that_never_started_has_no_start() -> None:
    """A lost trial without a start is not shown as one of 1970."""
    never = replace(make_record(0), started_at=0.0, outcome=Outcome.LOST, trace=StepTrace(), steps=0)
    assert child(never).started_ms is None
