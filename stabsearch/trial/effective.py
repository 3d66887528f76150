"""Settings read back from the live trainer, and where they differ from the plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.records import Effective, TrialPlan
from stabsearch.records.ramp import ramp_learning_rate, ramp_step
from stabsearch.trial.precision import AUTOCAST_DTYPE

if TYPE_CHECKING:
    from stabsearch.trial.instrument import Guard
    from stabsearch.trial.setup import TrialSetup


REL_TOL = 1e-6  # chosen: schedules multiply floats, nothing more


class AutocastProbe:
    """Reads the dtype that autocast has in force inside the model's forward."""

    def __init__(self, model: torch.nn.Module, device_type: str) -> None:
        self.dtype = "unknown"
        self._device_type = device_type
        # autocast wraps model.forward, which hooks of the model itself run outside of; which of
        # the inner modules a forward enters first, or at all, only the model knows
        inner = [module for module in model.modules() if module is not model] or [model]
        self._handles = [module.register_forward_pre_hook(self._look) for module in inner]

    def _look(self, *_: Any) -> None:
        if self._handles:
            enabled = torch.is_autocast_enabled(self._device_type)
            dtype = torch.get_autocast_dtype(self._device_type) if enabled else torch.float32
            self.dtype = str(dtype).removeprefix("torch.")
        while self._handles:
            self._handles.pop().remove()


def read_back(guard: Guard, probe: AutocastProbe) -> Effective:
    """Return what the trainer really did; call it after the first update at the earliest."""
    trainer, rates = guard.trainer, guard.log.learning_rates
    optimizer: Any = trainer.optimizer
    used = [rate for rate in rates if math.isfinite(rate)]
    dtypes = sorted({str(p.dtype).removeprefix("torch.") for p in trainer.model.parameters()})
    scaler = trainer.accelerator.scaler
    is_tf32 = trainer.args.device.type == "cuda" and torch.backends.cuda.matmul.fp32_precision == "tf32"
    return Effective(
        peak_learning_rate=max(used, default=math.nan),
        final_learning_rate=used[-1] if used else math.nan,
        max_grad_norm=0.0 if math.isinf(guard.max_grad_norm) else guard.max_grad_norm,
        autocast_dtype=probe.dtype,
        parameter_dtype="+".join(dtypes),
        loss_scaler=scaler is not None and scaler.is_enabled(),
        matmul_precision="tf32" if is_tf32 else "ieee",
        device=str(trainer.args.device),
        batch_rows=int(trainer._train_batch_size),
        optimizer=type(getattr(optimizer, "optimizer", optimizer)).__name__,
        betas=tuple(float(beta) for beta in optimizer.param_groups[0].get("betas", ())),
    )


def counted_rates(rates: Sequence[float], skipped: Sequence[bool]) -> list[float]:
    """Return the learning rate of each step that the schedule counted, as far as it is known.

    Where the fp16 loss scaler skips an update, Accelerate keeps the schedule where it is; with a fused
    optimizer, which skips inside itself, Accelerate does not notice and the schedule goes on.

    >>> counted_rates([0.1, 0.1, 0.2], [True, False, False])
    [0.1, 0.2]
    >>> counted_rates([0.1, 0.2, 0.3], [True, False, False])
    [0.1, 0.2, 0.3]
    """
    following = [*rates[1:], *rates[-1:]]
    steps = zip(rates, following, skipped, strict=True)
    return [rate for rate, after, skip in steps if math.isfinite(rate) and not (skip and rate == after)]


def differences(
    plan: TrialPlan, setup: TrialSetup, effective: Effective, learning_rates: Sequence[float]
) -> list[str]:
    """Return each setting that the trainer did not run with, as ``name: planned, effective``.

    Args:
        plan: what was asked for.
        setup: what all trials have in common.
        effective: what was read back; what no step has shown yet cannot differ.
        learning_rates: of each optimizer step that the schedule counted, in step order.
    """
    expected: dict[str, tuple[Any, Any]] = {
        "device": ("cuda" if setup.on_gpu else "cpu", effective.device.split(":")[0]),
        "autocast dtype": (AUTOCAST_DTYPE[plan.precision], effective.autocast_dtype),
        "loss scaler": (plan.precision == "fp16", effective.loss_scaler),
        "parameter dtype": ("float32", effective.parameter_dtype),
        "matmul precision": ("tf32" if plan.precision == "tf32" else "ieee", effective.matmul_precision),
    }
    if learning_rates:
        expected |= {"max_grad_norm": (plan.max_grad_norm, effective.max_grad_norm)}
        is_ramp = plan.ramp_from is not None
        expected |= _ramp_rates(plan, learning_rates) if is_ramp else _rates(plan, setup, learning_rates)
    return [
        f"{name}: planned {planned}, effective {real}"
        for name, (planned, real) in expected.items()
        if not _same(planned, real)
    ]


def _rates(plan: TrialPlan, setup: TrialSetup, rates: Sequence[float]) -> dict[str, tuple[Any, Any]]:
    """Return planned and real learning rates, as far as the steps reach."""
    at_peak = (i for i, rate in enumerate(rates) if rate >= plan.learning_rate * (1 - REL_TOL))
    reached_after = min(next(at_peak, plan.warmup_steps), plan.warmup_steps)
    pairs: dict[str, tuple[Any, Any]] = {"warmup_steps": (plan.warmup_steps, reached_after)}
    if len(rates) > plan.warmup_steps:
        pairs["peak learning_rate"] = (plan.learning_rate, max(rates))
        if setup.schedule == "hold":
            pairs["held learning_rate"] = (plan.learning_rate, rates[-1])
    return pairs


def _ramp_rates(plan: TrialPlan, rates: Sequence[float]) -> dict[str, tuple[Any, Any]]:
    """Return the planned and the real learning rate of the first step that left the ramp."""
    step = 0
    for rate in rates:
        # updates that the fp16 loss scaler skipped are missing here, and their steps with them
        step = max(step + 1, ramp_step(plan, rate)) if plan.precision == "fp16" else step + 1
        planned = ramp_learning_rate(plan, step)
        if not _same(planned, rate):
            return {f"learning_rate of step {step}": (planned, rate)}
    return {}


def _same(planned: Any, real: Any) -> bool:
    if isinstance(planned, float):
        return math.isclose(planned, real, rel_tol=REL_TOL)
    return bool(planned == real)
