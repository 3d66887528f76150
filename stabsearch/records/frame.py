"""Records as a pandas table, the columns of ``trials.csv``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from stabsearch.records.hyperparameters import FURTHER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stabsearch.records.record import TrialRecord

COLUMNS = (
    "number", "stage", "outcome", "grade", "cause", "learning_rate", "warmup_steps", "max_grad_norm",
    "precision", "model_seed", "data_seed", "horizon", "steps", "first_bad_step", "first_loss",
    "last_loss", "max_loss", "chance_loss", "max_recorded_grad_norm", "skipped_steps", "clipped_share",
    "peak_learning_rate", "autocast_dtype", "device", "startup_s", "train_s", "attempts", "message",
    "ramp_from", "confirms", "bundle", *(row.name for row in FURTHER),
)  # fmt: skip


def trials_frame(records: Iterable[TrialRecord]) -> pd.DataFrame:
    """Return one row per trial, in trial order; ``first_bad_step`` is a nullable integer.

    Ramps are rows too, of stage ``ramp`` with the rate they began at in ``ramp_from``: whoever fits
    a frontier leaves them out. ``confirms`` is the lower learning rate that a stressed confirmation
    trial vouches for. ``bundle`` is the folder below ``bad_batches/`` that holds its failure, or
    one of its kind. What else was searched (``weight_decay`` and so on) is missing where it was not.
    """
    rows = [_row(record) for record in sorted(records, key=lambda record: record.plan.number)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    whole = ["first_bad_step", *(each.name for each in FURTHER if each.is_whole)]
    real = [each.name for each in FURTHER if not each.is_whole]
    return frame.astype({**dict.fromkeys(whole, "Int64"), **dict.fromkeys(real, "float64")})


def _row(record: TrialRecord) -> dict[str, Any]:
    plan, effective = record.plan, record.effective
    losses = [loss for loss in record.trace.losses if math.isfinite(loss)]
    norms = [norm for norm in record.trace.grad_norms if math.isfinite(norm)]
    return {
        "number": plan.number,
        "stage": plan.stage.value,
        "outcome": record.outcome.value,
        "grade": record.grade.value if record.grade else None,
        "cause": record.cause.value if record.cause else None,
        "learning_rate": plan.learning_rate,
        "warmup_steps": plan.warmup_steps,
        "max_grad_norm": plan.max_grad_norm,
        "precision": plan.precision,
        "model_seed": plan.model_seed,
        "data_seed": plan.data_seed,
        "horizon": plan.horizon,
        "steps": record.steps,
        "first_bad_step": record.first_bad_step,
        "first_loss": losses[0] if losses else math.nan,
        "last_loss": losses[-1] if losses else math.nan,
        "max_loss": max(losses, default=math.nan),
        "chance_loss": record.chance_loss,
        "max_recorded_grad_norm": max(norms, default=math.nan),
        "skipped_steps": record.skipped_steps,
        "clipped_share": record.clipped_share,
        "peak_learning_rate": effective.peak_learning_rate if effective else math.nan,
        "autocast_dtype": effective.autocast_dtype if effective else None,
        "device": effective.device if effective else None,
        "startup_s": record.startup_s,
        "train_s": record.train_s,
        "attempts": record.attempts,
        "message": record.message,
        "ramp_from": math.nan if plan.ramp_from is None else plan.ramp_from,
        "confirms": math.nan if plan.confirms is None else plan.confirms,
        "bundle": record.bundle or None,
        **{each.name: getattr(plan, each.name) for each in FURTHER},
    }
