"""What an update is made of: torch's own optimizer, its gradients, and what the loss scaler found in them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.amp.grad_scaler import OptState


def plain_optimizer(optimizer: Any) -> torch.optim.Optimizer:
    """Return torch's own optimizer below Accelerate's."""
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    plain: torch.optim.Optimizer = optimizer
    return plain


def learning_rate(optimizer: torch.optim.Optimizer) -> float:
    """Return the largest learning rate of any group of weights."""
    return max(float(group["lr"]) for group in optimizer.param_groups)


def grad_norm(optimizer: torch.optim.Optimizer) -> torch.Tensor:
    """Return the global L2 norm of the gradients, for a Trainer that never asked Accelerate for it."""
    grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return torch.nn.utils.get_total_norm(grads)


def whole_norm(parts: Iterable[float]) -> float:
    """Return the norm of gradients that were clipped in parts.

    In double precision, for the square of a large norm is not finite.

    >>> whole_norm([3e30, 4e30])
    5e+30
    """
    first, *others = parts
    for part in others:
        first = math.hypot(first, part)
    return first


def drop_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Leave the optimizer nothing to step on: weights and its own state stay as they are."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.grad = None


def found_infs(scaler: Any, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Return what the loss scaler found, per device: 1 for a non-finite gradient; empty: not unscaled yet.

    It will skip the update then. Accelerate's ``optimizer_step_was_skipped`` is always False with
    a fused optimizer, because the skip then happens inside the kernel.
    """
    return list(scaler._per_optimizer_states[id(optimizer)]["found_inf_per_device"].values())


def unscaled(trainer: Any, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Return what the loss scaler found, having it look now where it has not yet; empty without a scaler."""
    scaler = trainer.accelerator.scaler
    if scaler is None:
        return []
    if not found_infs(scaler, optimizer):  # an override that clips by itself
        trainer.accelerator.unscale_gradients()
    return found_infs(scaler, optimizer)


def make_skip(scaler: Any, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Have the loss scaler skip the update: it takes a step without any gradient for a mistake."""
    state = scaler._per_optimizer_states[id(optimizer)]
    state["stage"] = OptState.UNSCALED
    state["found_inf_per_device"] = {device: torch.ones((), device=device)}
