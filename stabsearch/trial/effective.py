"""Settings read back from the live trainer, and where they differ from the plan."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.records import Effective, TrialPlan
from stabsearch.trial.precision import AUTOCAST_DTYPE

if TYPE_CHECKING:
    from stabsearch.trial.setup import TrialSetup
    from stabsearch.trial.watch import Guard


class AutocastProbe:
    """Reads the dtype that autocast has in force inside the model's forward."""

    def __init__(self, model: torch.nn.Module, device_type: str) -> None:
        self.dtype = "unknown"
        self._device_type = device_type
        # autocast wraps model.forward, which hooks of the model itself run outside of
        inner = next(iter(model.children()), model)
        self._handle = inner.register_forward_pre_hook(self._look)

    def _look(self, *_: Any) -> None:
        enabled = torch.is_autocast_enabled(self._device_type)
        dtype = torch.get_autocast_dtype(self._device_type) if enabled else torch.float32
        self.dtype = str(dtype).removeprefix("torch.")
        self._handle.remove()


def read_back(guard: Guard, probe: AutocastProbe) -> Effective:
    """Return what the trainer really did; call it after the first update at the earliest."""
    trainer, rates = guard.trainer, guard.log.learning_rates
    optimizer: Any = trainer.optimizer
    used = [rate for rate in rates if math.isfinite(rate)]
    dtypes = sorted({str(p.dtype).removeprefix("torch.") for p in trainer.model.parameters()})
    scaler = trainer.accelerator.scaler
    matmul = torch.backends.cuda.matmul.fp32_precision
    return Effective(
        peak_learning_rate=max(used, default=math.nan),
        final_learning_rate=used[-1] if used else math.nan,
        max_grad_norm=guard.max_grad_norm if math.isfinite(guard.max_grad_norm) else 0.0,
        autocast_dtype=probe.dtype,
        parameter_dtype="+".join(dtypes),
        loss_scaler=scaler is not None and scaler.is_enabled(),
        matmul_precision="tf32" if matmul == "tf32" else "ieee",
        device=str(trainer.args.device),
        batch_rows=int(trainer.args.per_device_train_batch_size),
        optimizer=type(getattr(optimizer, "optimizer", optimizer)).__name__,
        betas=tuple(float(beta) for beta in optimizer.param_groups[0].get("betas", ())),
    )


def differences(plan: TrialPlan, setup: TrialSetup, effective: Effective, steps: int) -> list[str]:
    """Return each setting that the trainer did not run with, as ``name: planned, effective``.

    Args:
        plan: what was asked for.
        setup: what all trials have in common.
        effective: what was read back.
        steps: optimizer steps that were taken; the peak learning rate is due after the warmup.
    """
    expected: dict[str, tuple[Any, Any]] = {
        "max_grad_norm": (plan.max_grad_norm, effective.max_grad_norm),
        "autocast dtype": (AUTOCAST_DTYPE[plan.precision], effective.autocast_dtype),
        "loss scaler": (plan.precision == "fp16", effective.loss_scaler),
        "parameter dtype": ("float32", effective.parameter_dtype),
        "matmul precision": ("tf32" if plan.precision == "tf32" else "ieee", effective.matmul_precision),
    }
    if setup.schedule == "hold" and steps > plan.warmup_steps:
        expected["learning_rate"] = (plan.learning_rate, effective.final_learning_rate)
    return [
        f"{name}: planned {planned}, effective {real}"
        for name, (planned, real) in expected.items()
        if not _same(planned, real)
    ]


def _same(planned: Any, real: Any) -> bool:
    if isinstance(planned, float):
        return math.isclose(planned, real, rel_tol=1e-6)
    return bool(planned == real)
