"""What broke a trial: the bad batches once more, on initial and captured weights, fp32 and as planned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.records import Cause, Outcome, TrialPlan

if TYPE_CHECKING:
    from stabsearch.task.base import Workload
    from stabsearch.trial.watch import Guard

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def attribute(guard: Guard, workload: Workload, plan: TrialPlan, failure: Outcome) -> tuple[Outcome, Cause]:
    """Return outcome and cause of a trial that met non-finite numbers; ``failure`` unless the data did it.

    A batch that is bad on the initial weights in fp32 is bad whatever the hyperparameters are:
    that is a fault of the data or of the loss, and no evidence against them. When the gradient
    went bad, gradients are looked at, of every micro-batch of the update.
    """
    bad = guard.log.bad
    is_loss = bad is not None and bad.kind == "loss"
    replay = _Replay(
        guard.trainer, guard.batches[-1:] if is_loss else guard.batches, with_gradients=not is_loss
    )
    captured = guard.trainer.accelerator.unwrap_model(guard.trainer.model, keep_fp32_wrapper=False)
    initial = workload.model(plan.model_seed).to(guard.trainer.args.device)
    cause = name_cause(
        initial_fp32=replay.is_finite(initial, "fp32"),
        initial_planned=replay.is_finite(initial, plan.precision),
        captured_fp32=replay.is_finite(captured, "fp32"),
        captured_planned=replay.is_finite(captured, plan.precision),
    )
    return (Outcome.DATA_FAULT if cause is Cause.DATA else failure), cause


def name_cause(
    *, initial_fp32: bool, initial_planned: bool, captured_fp32: bool, captured_planned: bool
) -> Cause:
    """Return the cause that four replays point to; each argument is True where all stayed finite.

    All four finite: the norm of the gradient overflowed, or dropout drew other numbers; either
    way it took weights that training had moved.
    """
    if not initial_fp32:
        return Cause.DATA
    if not initial_planned:
        return Cause.PRECISION_AT_INIT
    if not captured_fp32:
        return Cause.LEARNING_RATE
    return Cause.LEARNING_RATE if captured_planned else Cause.PRECISION_AFTER_DRIFT


class _Replay:
    """Runs micro-batches again, outside of the training."""

    def __init__(self, trainer: Any, batches: Sequence[Mapping[str, Any]], with_gradients: bool) -> None:
        self._trainer = trainer
        self._batches = [trainer._prepare_inputs(dict(batch)) for batch in batches]
        self._with_gradients = with_gradients
        # a second model has to fit on the device: what the first one needed for updates makes room
        trainer.model.zero_grad(set_to_none=True)
        trainer.optimizer.state.clear()

    def is_finite(self, model: torch.nn.Module, precision: str) -> bool:
        """Return whether every micro-batch stays finite on these weights."""
        return all(self._is_batch_finite(model, batch, precision) for batch in self._batches)

    def _is_batch_finite(self, model: torch.nn.Module, batch: Mapping[str, Any], precision: str) -> bool:
        dtype = DTYPES.get(precision)
        model.train()
        with torch.set_grad_enabled(self._with_gradients):
            with torch.autocast(self._trainer.args.device.type, dtype, enabled=dtype is not None):
                loss = self._trainer.compute_loss(model, dict(batch))
            if self._with_gradients:
                loss.backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        is_finite = math.isfinite(float(loss.detach())) and all(
            bool(torch.isfinite(grad).all()) for grad in grads
        )
        model.zero_grad(set_to_none=True)
        return is_finite
