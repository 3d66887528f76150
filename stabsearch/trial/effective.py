"""Settings read back from the live trainer, and where they differ from the plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.records import Effective, TrialPlan
from stabsearch.records.hyperparameters import FURTHER
from stabsearch.records.ramp import ramp_learning_rate, ramp_step
from stabsearch.trial.casting import dtypes_of, name_of
from stabsearch.trial.not_applied import format_differences

if TYPE_CHECKING:
    from stabsearch.trial.forward_probe import ForwardProbe
    from stabsearch.trial.instrument import Guard
    from stabsearch.trial.setup import TrialSetup


REL_TOL = 1e-6  # chosen: schedules multiply floats, nothing more


def read_back(guard: Guard, probe: ForwardProbe) -> Effective:
    """Return what the trainer really did; call it after the first update at the earliest."""
    trainer, rates = guard.trainer, guard.log.learning_rates
    optimizer: Any = trainer.optimizer
    groups: list[dict[str, Any]] = optimizer.param_groups
    used = [rate for rate in rates if math.isfinite(rate)]
    dtypes = dtypes_of(trainer.model)
    scaler = trainer.accelerator.scaler
    return Effective(
        peak_learning_rate=max(used, default=math.nan),
        final_learning_rate=used[-1] if used else math.nan,
        max_grad_norm=0.0 if math.isinf(guard.max_grad_norm) else guard.max_grad_norm,
        autocast_dtype=_autocast(probe, dtypes.trained) if guard.ranks.is_sharded else probe.autocast_dtype,
        parameter_dtype="+".join(dtypes.trained),
        frozen_dtype="+".join(dtypes.frozen),
        optimizer_dtype="+".join(_moments(optimizer)),
        loss_scaler=scaler is not None and scaler.is_enabled(),
        matmul_precision=probe.matmul_precision,
        gradient_checkpointing=probe.is_recomputed,
        device=str(trainer.args.device),
        batch_rows=_batch_rows(trainer),
        gradient_accumulation_steps=int(trainer.args.gradient_accumulation_steps),
        loss_multiple=_loss_multiple(guard),
        is_loss_divided=guard.reference is not None and guard.reference.is_mended,
        num_processes=guard.ranks.number,
        is_sharded=guard.ranks.is_sharded,
        guard=guard.form,
        optimizer=type(getattr(optimizer, "optimizer", optimizer)).__name__,
        betas=tuple(float(beta) for beta in groups[0].get("betas", ())),
        weight_decay=max((float(group["weight_decay"]) for group in groups if "weight_decay" in group),
                         default=math.nan),
        adam_epsilon=_number(groups[0].get("eps")) if "betas" in groups[0] else math.nan,
    )  # fmt: skip


def _loss_multiple(guard: Guard) -> int:
    """Return how many times the loss per example was back-propagated."""
    of_micro_batches = guard.trainer.args.gradient_accumulation_steps if guard.log.losses_are_means else 1
    return int(of_micro_batches) * guard.log.loss_multiple


def _batch_rows(trainer: Any) -> int:
    """Return the rows that the live dataloader puts together, whoever made it."""
    loader = trainer.callback_handler.train_dataloader
    sampler = getattr(loader, "batch_sampler", None)
    rows = getattr(sampler, "batch_size", None) or getattr(loader, "batch_size", None)
    return int(rows or trainer._train_batch_size)  # a sampler of the user's own need not say


def _number(value: Any) -> float:
    """Return a number, NaN for anything else."""
    return float(value) if isinstance(value, int | float) else math.nan


def _autocast(probe: ForwardProbe, stored: Sequence[str]) -> str:
    """Return the dtype that weights are cast to for the forward: FSDP does it itself, without autocast."""
    cast = sorted(probe.weight_dtypes.difference(stored))
    return "+".join(cast) if cast else probe.autocast_dtype


def _moments(optimizer: Any) -> list[str]:
    """Return the dtypes of what the optimizer keeps per weight; its step counts are not among them."""
    kept = [value for state in optimizer.state.values() for value in state.values()]
    return sorted({name_of(value.dtype) for value in kept if isinstance(value, torch.Tensor) and value.dim()})


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
        "processes": (setup.num_processes, effective.num_processes),
        "fsdp": (bool(setup.training.get("fsdp")), effective.is_sharded),
        **_further(plan, setup, effective),
    }
    if learning_rates:
        expected |= {"max_grad_norm": (plan.max_grad_norm, effective.max_grad_norm)}
        is_ramp = plan.ramp_from is not None
        expected |= _ramp_rates(plan, learning_rates) if is_ramp else _rates(plan, setup, learning_rates)
    differing = [
        f"{name}: planned {planned}, effective {real}"
        for name, (planned, real) in expected.items()
        if not _same(planned, real)
    ]
    return [*differing, *format_differences(plan.precision, effective)]


def _further(plan: TrialPlan, setup: TrialSetup, effective: Effective) -> dict[str, tuple[Any, Any]]:
    """Return planned and real values of what the trial, or its sweep's section ``training``, sets.

    What an optimizer does not have, a sweep may still name; but nobody searches it in vain.
    """
    pairs: dict[str, tuple[Any, Any]] = {}
    for row in FURTHER:
        searched, real = getattr(plan, row.name), getattr(effective, row.effective)
        planned = setup.training.get(row.name) if searched is None else searched
        if planned is not None and not (searched is None and math.isnan(real)):
            pairs[row.name] = (planned, real)
    return pairs


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
