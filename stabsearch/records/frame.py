"""Records as a pandas table, the columns of ``trials.csv``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pandas as pd

from stabsearch.records.hyperparameters import FURTHER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stabsearch.records.record import TrialRecord


def _losses(record: TrialRecord) -> list[float]:
    return [loss for loss in record.trace.losses if math.isfinite(loss)]


def _of_effective(name: str, missing: Any) -> Callable[[TrialRecord], Any]:
    return lambda record: getattr(record.effective, name) if record.effective else missing


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


READERS: dict[str, Callable[[TrialRecord], Any]] = {
    "number": attrgetter("plan.number"),
    "stage": lambda record: record.plan.stage.value,
    "outcome": lambda record: record.outcome.value,
    "grade": lambda record: record.grade.value if record.grade else None,
    "cause": lambda record: record.cause.value if record.cause else None,
    "learning_rate": attrgetter("plan.learning_rate"),
    "warmup_steps": attrgetter("plan.warmup_steps"),
    "max_grad_norm": attrgetter("plan.max_grad_norm"),
    "precision": attrgetter("plan.precision"),
    "model_seed": attrgetter("plan.model_seed"),
    "data_seed": attrgetter("plan.data_seed"),
    "horizon": attrgetter("plan.horizon"),
    "steps": attrgetter("steps"),
    "first_bad_step": attrgetter("first_bad_step"),
    "first_loss": lambda record: next(iter(_losses(record)), math.nan),
    "last_loss": lambda record: next(reversed(_losses(record)), math.nan),
    "max_loss": lambda record: max(_losses(record), default=math.nan),
    "chance_loss": attrgetter("chance_loss"),
    "eval_loss": attrgetter("eval_loss"),
    "max_recorded_grad_norm": lambda record: max(
        filter(math.isfinite, record.trace.grad_norms), default=math.nan
    ),
    "skipped_steps": attrgetter("skipped_steps"),
    "clipped_share": attrgetter("clipped_share"),
    "peak_learning_rate": _of_effective("peak_learning_rate", math.nan),
    "autocast_dtype": _of_effective("autocast_dtype", None),
    "device": _of_effective("device", None),
    "startup_s": attrgetter("startup_s"),
    "train_s": attrgetter("train_s"),
    "attempts": attrgetter("attempts"),
    "message": attrgetter("message"),
    "ramp_from": lambda record: _or_nan(record.plan.ramp_from),
    "confirms": lambda record: _or_nan(record.plan.confirms),
    "bundle": lambda record: record.bundle or None,
    **{each.name: attrgetter(f"plan.{each.name}") for each in FURTHER},
}
"""Column of ``trials.csv`` -> what it holds of a record."""
COLUMNS = tuple(READERS)
WHOLE = frozenset({"first_bad_step", *(each.name for each in FURTHER if each.is_whole)})
REAL = frozenset(each.name for each in FURTHER if not each.is_whole)


def trials_frame(records: Iterable[TrialRecord], columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Return one row per trial, in trial order; ``first_bad_step`` is a nullable integer.

    Ramps are rows too, of stage ``ramp`` with the rate they began at in ``ramp_from``: whoever fits
    a frontier leaves them out. ``confirms`` is the lower learning rate that a stressed confirmation
    trial vouches for. ``bundle`` is the folder below ``bad_batches/`` that holds its failure, or
    one of its kind. What else was searched (``weight_decay`` and so on) is missing where it was not.

    Args:
        records: in any order.
        columns: those wanted; default: all of ``trials.csv``.
    """
    in_order = sorted(records, key=lambda record: record.plan.number)
    return pd.DataFrame({name: _column(name, in_order) for name in columns}, columns=list(columns))


def _column(name: str, records: Sequence[TrialRecord]) -> Any:
    values = [READERS[name](record) for record in records]
    dtype = "Int64" if name in WHOLE else "float64" if name in REAL else None
    return pd.Series(values, dtype=dtype) if dtype else values
