"""What broke a trial: four forwards of the bad batch, on initial and captured weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.records import Cause, Outcome, TrialPlan

if TYPE_CHECKING:
    from stabsearch.task.base import Workload
    from stabsearch.trial.watch import Guard

CAUSE_BY_FORWARDS: Mapping[tuple[bool, bool, bool, bool], Cause] = {
    # initial weights: fp32, trial precision; captured weights: fp32, trial precision. True: finite
    (False, False, False, False): Cause.DATA,
    (True, True, False, False): Cause.LEARNING_RATE,
    (True, False, True, False): Cause.PRECISION_AT_INIT,
    (True, False, False, False): Cause.PRECISION_AT_INIT,
    (True, True, True, False): Cause.PRECISION_AFTER_DRIFT,
    (True, True, True, True): Cause.LEARNING_RATE,
}
"""Which forwards of the bad batch stay finite -> cause. All four finite: the loss is fine and the
gradient is not, on weights that training has moved."""


def attribute(guard: Guard, workload: Workload, plan: TrialPlan) -> tuple[Outcome, Cause]:
    """Return outcome and cause of a trial that met a non-finite number.

    A batch whose loss is bad on the initial weights in fp32 is bad whatever the hyperparameters
    are: that is a fault of the data, and no evidence against the learning rate.
    """
    if _has_bad_inputs(guard.batch):
        return Outcome.DATA_FAULT, Cause.DATA
    trainer = guard.trainer
    captured = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    initial = workload.model(plan.model_seed).to(trainer.args.device)
    batch = trainer._prepare_inputs(dict(guard.batch))
    finite = tuple(
        _is_finite(trainer, model, batch, precision) for model in (initial, captured) for precision in ("fp32", plan.precision)
    )
    cause = CAUSE_BY_FORWARDS.get(finite, Cause.UNKNOWN)  # type: ignore[call-overload]
    return (Outcome.DATA_FAULT if cause is Cause.DATA else Outcome.NONFINITE), cause


def _has_bad_inputs(batch: Mapping[str, Any]) -> bool:
    floats = [x for x in batch.values() if isinstance(x, torch.Tensor) and x.is_floating_point()]
    return any(not bool(torch.isfinite(x).all()) for x in floats)


def _is_finite(trainer: Any, model: torch.nn.Module, batch: Mapping[str, Any], precision: str) -> bool:
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    device_type = trainer.args.device.type
    context = torch.autocast(device_type, dtype) if dtype else torch.autocast(device_type, enabled=False)
    model.train()
    with torch.no_grad(), context, contextlib.suppress(FloatingPointError):
        loss = trainer.compute_loss(model, dict(batch))
        return math.isfinite(float(loss))
    return False
