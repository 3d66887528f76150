"""The guard on a live Trainer: any Trainer, also a user's subclass, instrumented in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from transformers import TrainerCallback

from stabsearch.trial.accumulation import LossReference
from stabsearch.trial.guard import BadNumber, GuardLog

if TYPE_CHECKING:
    from transformers import Trainer

AnyTrainer = TypeVar("AnyTrainer", bound="Trainer")


class TrainingBroke(Exception):  # noqa: N818 - it names what happened to the user's run
    """A loss or gradient was not finite; the weights are those from before the bad update.

    Attributes:
        bad: the first bad number, with its optimizer step and micro-batch.
    """

    def __init__(self, bad: BadNumber) -> None:
        super().__init__(bad.message)
        self.bad = bad


def watch(trainer: AnyTrainer) -> AnyTrainer:
    """Return the same Trainer, guarded: training stops before the first bad update.

    The raw loss of every micro-batch is checked before it is back-propagated, the gradient norm of
    every update before the optimizer steps; ``train()`` then raises ``TrainingBroke``. Nothing
    else changes: a training that stays finite ends with bitwise the same weights. Updates that
    the fp16 loss scaler skips are normal and go on.
    """
    Guard(trainer)
    return trainer


class Guard:
    """Raw numbers of a live Trainer, and the power to stop it.

    Bound methods are wrapped on the instance, so that overrides in subclasses stay in force:
    ``training_step`` (the batch), ``accelerator.backward`` (the loss that is really
    back-propagated) and ``accelerator.clip_grad_norm_`` (the norm, computed anyway).

    Args:
        trainer: any Trainer, before ``train()``.
        on_update: called with the log after each completed update's numbers are known and before
            the optimizer steps; what it raises stops the training there.
        reference: tells losses that are means from losses that are shares of the step's loss; costs
            one more forward per micro-batch of the first update.
    """

    def __init__(
        self,
        trainer: Trainer,
        on_update: Callable[[GuardLog], None] | None = None,
        reference: LossReference | None = None,
    ) -> None:
        self.trainer = trainer
        self.log = GuardLog()
        self.batches: Sequence[Mapping[str, Any]] = ()
        """Inputs of the current step's micro-batches, as the collator made them."""
        self.max_grad_norm = math.nan
        """Norm last passed to clipping; NaN as long as no update was clipped."""
        self._on_update = on_update
        self._reference = reference
        self._norm: Any = None
        self._is_new_window = True
        trainer.args.logging_nan_inf_filter = False  # it reports a mean instead of a NaN
        self._wrap(trainer, "training_step", self._training_step)
        self._wrap(trainer.accelerator, "backward", self._backward)
        self._wrap(trainer.accelerator, "clip_grad_norm_", self._clip)
        trainer.add_callback(_BeforeUpdate(self))

    @staticmethod
    def _wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return around(original, *args, **kwargs)

        setattr(owner, name, wrapped)

    def _training_step(
        self, original: Callable[..., Any], model: Any, inputs: Any, *rest: Any, **named: Any
    ) -> Any:
        # a shallow copy: label smoothing and custom losses pop the labels out of the dictionary
        self.batches = (*(() if self._is_new_window else self.batches), dict(inputs))
        self._is_new_window = False
        if self._reference:
            self._reference.measure(model, inputs)
        seen = self.log.micro_batches
        loss = original(model, inputs, *rest, **named)
        if self.log.micro_batches == seen:  # an override that back-propagates by itself
            self._take(loss)
        return loss

    def _take(self, loss: torch.Tensor) -> None:
        bad = self.log.micro_loss(float(loss.detach()))
        if bad:
            raise TrainingBroke(bad)

    def _backward(self, original: Callable[..., Any], loss: torch.Tensor, **named: Any) -> Any:
        self._take(loss)
        return original(loss, **named)

    def _clip(
        self, original: Callable[..., Any], parameters: Any, max_norm: float, *rest: Any, **named: Any
    ) -> Any:
        self._norm = original(parameters, max_norm, *rest, **named)
        self.max_grad_norm = float(max_norm)
        return self._norm

    def before_update(self) -> None:
        """Take the update's numbers; raise when one is bad."""
        optimizer = _plain(self.trainer.optimizer)
        scaler = self.trainer.accelerator.scaler
        if scaler is not None and not _found_inf(scaler, optimizer):
            self.trainer.accelerator.unscale_gradients()  # an override that clips by itself
        norm = float(_grad_norm(optimizer) if self._norm is None else self._norm)
        skipped = scaler is not None and any(_found_inf(scaler, optimizer))
        scale = float(scaler.get_scale()) if scaler is not None else 1.0
        rate = max(float(group["lr"]) for group in optimizer.param_groups)
        if self._reference:
            self.log.losses_are_means = self._reference.says_means(self.log.window)
        self._norm, self._is_new_window = None, True
        bad = self.log.update(norm, rate, skipped, scale)
        if bad:
            raise TrainingBroke(bad)
        if self._on_update:
            self._on_update(self.log)


class _BeforeUpdate(TrainerCallback):  # type: ignore[misc]
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._guard.log = GuardLog(steps_before=state.global_step)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._guard.before_update()


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    plain: torch.optim.Optimizer = optimizer
    return plain


def _found_inf(scaler: Any, optimizer: torch.optim.Optimizer) -> list[bool]:
    """Return whether the loss scaler found a non-finite gradient, per device; empty: not unscaled yet.

    It will skip the update then. Accelerate's ``optimizer_step_was_skipped`` is always False with
    a fused optimizer, because the skip then happens inside the kernel.
    """
    found = scaler._per_optimizer_states[id(optimizer)]["found_inf_per_device"]
    return [float(flag) > 0 for flag in found.values()]


def _grad_norm(optimizer: torch.optim.Optimizer) -> torch.Tensor:
    """Return the global L2 norm of the gradients, for a Trainer that never asked Accelerate for it."""
    grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return torch.nn.utils.get_total_norm(grads)
