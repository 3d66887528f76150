"""How a trial looks in MLflow: a pure function of its record."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stabsearch.records import NUMBER_FORMATS, Outcome
from stabsearch.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stabsearch.config import Training
    from stabsearch.records import TrialPlan, TrialRecord
    from stabsearch.tracking.base import RunStatus

MAX_SERIES_POINTS = 200  # chosen: a chart shows no more, and two series fit one request of 1,000

_MAX_MESSAGE = 1000  # chosen: well below what every MLflow store takes, 5,000 characters

SWEEP_TAG = "stabsearch.sweep_id"
UID_TAG = "stabsearch.uid"
NUMBER_TAG = "stabsearch.number"
VERSION_TAG = "stabsearch.version"
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
SOURCE_TAG = "mlflow.source.name"
LABEL_TAGS = (
    "stabsearch.outcome", "stabsearch.cause", "stabsearch.grade", "stabsearch.stage", "stabsearch.message",
)  # fmt: skip
"""Tags that can change after the run was finished: ``collapsed`` depends on the other trials."""

_STATUS: dict[Outcome, RunStatus] = {
    Outcome.OOM: "FAILED",
    Outcome.CRASHED: "FAILED",
    Outcome.LOST: "FAILED",
    Outcome.INTERRUPTED: "KILLED",
}


class Point(NamedTuple):
    """One value of one metric; its time is relative, so that telling it twice is telling it once."""

    key: str
    value: float
    step: int
    """Optimizer step."""
    offset_ms: int
    """Milliseconds after the start of the run."""


@dataclass(frozen=True)
class ChildRun:
    """One trial as MLflow is to show it."""

    number: int
    name: str
    status: RunStatus
    started_ms: int | None
    """Milliseconds since the epoch, None when the trial never started."""
    duration_ms: int
    params: Mapping[str, str]
    tags: Mapping[str, str]
    """Everything but the parent, which is not known here."""
    points: tuple[Point, ...]

    @property
    def labels(self) -> dict[str, str]:
        """Return the tags that a later fit may change."""
        return {key: value for key, value in self.tags.items() if key in LABEL_TAGS}

    @property
    def summary(self) -> dict[str, Point]:
        """Return the metrics with one value, by name."""
        series = {"train_loss", "grad_norm"}
        return {point.key: point for point in self.points if point.key not in series}


def child_run(record: TrialRecord, training: Training, sweep_id: str) -> ChildRun:
    """Return the run of one trial; every metric in it is finite."""
    return ChildRun(
        number=record.plan.number,
        name=record.plan.run_name,
        status=_STATUS.get(record.outcome, "FINISHED"),
        started_ms=round(record.started_at * 1000) or None,
        duration_ms=round((record.startup_s + record.train_s) * 1000),
        params={**full_run_params(training), **_plan_params(record.plan)},
        tags=_tags(record, sweep_id),
        points=tuple(point for point in _points(record) if math.isfinite(point.value)),
    )


def full_run_params(training: Training) -> dict[str, str]:
    """Return the training arguments of the full run, under Hugging Face's names."""
    lengths = {"max_steps": training.max_steps, "num_train_epochs": training.num_train_epochs}
    values = {**training.arguments, **{key: value for key, value in lengths.items() if value is not None}}
    return {key: as_text(value) for key, value in values.items()}


def as_text(value: Any) -> str:
    """Return a value as MLflow shows it: lists and mappings as JSON, the rest as Python prints it."""
    return json.dumps(value) if isinstance(value, (list, tuple, dict)) else str(value)


def _plan_params(plan: TrialPlan) -> dict[str, str]:
    made_of = NUMBER_FORMATS[plan.precision]
    values = {
        **plan.arguments,
        "precision": plan.precision,
        **{name: made_of.arguments.get(name, False) for name in ("fp16", "bf16", "tf32")},
        "parameter_dtype": made_of.parameter_dtype,
        "seed": plan.model_seed,
        "data_seed": plan.data_seed,
        "horizon": plan.horizon,
    }
    return {key: str(value) for key, value in values.items()}


def _tags(record: TrialRecord, sweep_id: str) -> dict[str, str]:
    number = record.plan.number
    tags = {
        UID_TAG: f"{sweep_id}/{number}",
        SWEEP_TAG: sweep_id,
        NUMBER_TAG: str(number),
        VERSION_TAG: __version__,
        SOURCE_TAG: "stabsearch",
        "stabsearch.outcome": record.outcome.value,
        "stabsearch.cause": record.cause.value if record.cause else "",
        "stabsearch.grade": record.grade.value if record.grade else "",
        "stabsearch.stage": record.plan.stage.value,
        "stabsearch.message": record.message[:_MAX_MESSAGE],
    }
    return {key: value for key, value in tags.items() if value}


def _points(record: TrialRecord) -> Iterator[Point]:
    """Yield all points, non-finite ones included."""
    yield from _series(record, "train_loss", record.trace.losses)
    yield from _series(record, "grad_norm", record.trace.grad_norms)
    end_ms = round((record.startup_s + record.train_s) * 1000)
    for key, value in _summary(record).items():
        yield Point(key, float(value), record.steps, end_ms)


def _series(record: TrialRecord, key: str, values: Sequence[float]) -> Iterator[Point]:
    steps = record.trace.steps
    last_step = steps[-1] if steps else 1
    for index in thinned_indices(len(steps)):
        seconds = record.startup_s + record.train_s * steps[index] / last_step
        yield Point(key, float(values[index]), steps[index], round(seconds * 1000))


def thinned_indices(length: int, max_points: int = MAX_SERIES_POINTS) -> list[int]:
    """Return evenly spread indices of a series, the last one always among them.

    >>> thinned_indices(10, 4)
    [0, 3, 6, 9]
    """
    if length <= max_points:
        return list(range(length))
    return sorted({round(i * (length - 1) / (max_points - 1)) for i in range(max_points)})


def _summary(record: TrialRecord) -> dict[str, float]:
    losses = [loss for loss in record.trace.losses if math.isfinite(loss)]
    rate = record.plan.learning_rate
    values: dict[str, float | None] = {
        # MLflow's parallel coordinates have no logarithmic axis.
        "log10_learning_rate": math.log10(rate) if rate > 0 else None,
        # An out-of-memory is neither 0 nor 1: it proves nothing.
        "failed": float(record.outcome.is_failure) if record.outcome.is_evidence else None,
        "steps": record.steps,
        "first_bad_step": record.first_bad_step,
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "max_loss": max(losses, default=None),
        "eval_loss": record.eval_loss,
        "skipped_steps": record.skipped_steps,
        "clipped_share": record.clipped_share,
        "train_s": record.train_s,
        "startup_s": record.startup_s,
    }
    return {key: value for key, value in values.items() if value is not None}
