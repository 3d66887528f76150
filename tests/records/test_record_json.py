"""A record survives its JSON form exactly, and only its own version is read."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stabsearch.records import (
    PRECISIONS,
    RECORD_VERSION,
    Cause,
    Effective,
    Grade,
    Outcome,
    Stage,
    StepTrace,
    TrialPlan,
    TrialRecord,
)
from stabsearch.records.record import plan_from_json

any_float = st.floats()  # NaN and infinities included: a broken trial is made of them
steps = st.integers(0, 10**6)
texts = st.text(max_size=20)
plans = st.builds(
    TrialPlan,
    number=steps,
    stage=st.sampled_from(Stage),
    learning_rate=st.floats(1e-9, 1e3),
    warmup_steps=steps,
    max_grad_norm=st.floats(0, 1e3),
    precision=st.sampled_from(PRECISIONS),
    model_seed=steps,
    data_seed=steps,
    horizon=steps,
    ramp_from=st.none() | st.floats(1e-9, 1e3),
)
traces = st.tuples(st.booleans(), st.lists(st.tuples(any_float, any_float, any_float), max_size=20)).map(
    lambda drawn: StepTrace.thinned(
        [loss for loss, _, _ in drawn[1]],
        [norm for _, norm, _ in drawn[1]],
        loss_scales=[scale for _, _, scale in drawn[1]] if drawn[0] else (),
    )
)
dtypes = st.sampled_from(["float32", "bfloat16", "float16"])
effectives = st.builds(
    Effective,
    peak_learning_rate=any_float,
    final_learning_rate=any_float,
    max_grad_norm=any_float,
    autocast_dtype=dtypes,
    parameter_dtype=dtypes,
    loss_scaler=st.booleans(),
    matmul_precision=st.sampled_from(["ieee", "tf32"]),
    device=st.sampled_from(["cpu", "cuda:0"]),
    batch_rows=steps,
    optimizer=st.sampled_from(["AdamW", "SGD"]),
    betas=st.one_of(st.just(()), st.tuples(st.floats(0, 1), st.floats(0, 1))),
)
records = st.builds(
    TrialRecord,
    plan=plans,
    outcome=st.sampled_from(Outcome),
    grade=st.none() | st.sampled_from(Grade),
    cause=st.none() | st.sampled_from(Cause),
    first_bad_step=st.none() | steps,
    steps=steps,
    trace=traces,
    chance_loss=any_float,
    skipped_steps=steps,
    clipped_share=any_float,
    effective=st.none() | effectives,
    message=texts | st.sampled_from(["NaN", "Infinity"]),
    startup_s=any_float,
    train_s=any_float,
    started_at=any_float,
    attempts=steps,
    machine=st.dictionaries(texts, texts | st.just("NaN"), max_size=3),
)


def comparable(value: Any) -> Any:
    """Return the same data with NaN equal to itself, and types told apart."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return type(value), [comparable(getattr(value, field.name)) for field in fields]
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(comparable(item) for item in value)
    return repr(value)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(records)
def test_a_record_survives_strict_json_exactly(record: TrialRecord) -> None:
    """Non-finite numbers included, which plain JSON does not have; texts that look like them stay texts."""
    text = json.dumps(record.to_json(), allow_nan=False)
    assert comparable(TrialRecord.from_json(json.loads(text))) == comparable(record)


@given(plans)
def test_a_plan_survives_json(plan: TrialPlan) -> None:
    """Plans travel to workers and back."""
    assert plan_from_json(json.loads(json.dumps(dataclasses.asdict(plan)))) == plan


@given(records, st.sampled_from([None, 0, RECORD_VERSION + 1, str(RECORD_VERSION), "x"]))
def test_a_record_of_another_version_is_refused(record: TrialRecord, version: object) -> None:
    """Old numbers are never read with a new meaning."""
    data = {**record.to_json(), "version": version}
    with pytest.raises(
        ValueError, match=f"trial record of version {version!r}, this reads 1 to {RECORD_VERSION}"
    ):
        TrialRecord.from_json(data)


@given(records)
def test_a_record_from_before_ramps_is_read(record: TrialRecord) -> None:
    """Version 1 had no field for where a ramp begins: none of its trials was one."""
    data = record.to_json()
    old = {**data, "version": 1, "plan": {k: v for k, v in data["plan"].items() if k != "ramp_from"}}
    plain = dataclasses.replace(record, plan=dataclasses.replace(record.plan, ramp_from=None))
    assert comparable(TrialRecord.from_json(old)) == comparable(plain)


@given(records)
def test_a_record_from_before_loss_scales_is_read(record: TrialRecord) -> None:
    """Version 4 did not keep the loss scale of each update: they are not known, and nothing else changes."""
    data = record.to_json()
    trace = {name: points for name, points in data["trace"].items() if name != "loss_scales"}
    plain = dataclasses.replace(record, trace=dataclasses.replace(record.trace, loss_scales=()))
    assert comparable(TrialRecord.from_json({**data, "version": 4, "trace": trace})) == comparable(plain)


def test_a_record_without_a_version_is_refused() -> None:
    """It is not one of ours."""
    with pytest.raises(ValueError, match="version None"):
        TrialRecord.from_json({})


def test_a_record_starts_with_nothing_claimed() -> None:
    """Unknown numbers are NaN, never a number that looks measured."""
    plan = TrialPlan(0, Stage.SEARCH, 1e-3, 0, 1.0, "fp32", 0, 0, 10)
    record = TrialRecord(plan, Outcome.LOST)
    assert math.isnan(record.chance_loss)
    assert math.isnan(record.clipped_share)
    assert (record.steps, record.trace, record.effective, record.grade) == (0, StepTrace(), None, None)
