"""The micro-batches of one optimizer step once more, outside of the training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.capture.bits import bits, digest
from stabsearch.capture.buffers import buffers_kept, restore_buffers
from stabsearch.capture.manifest import Digest
from stabsearch.capture.micro_batch import MicroBatch, rng_kept
from stabsearch.trial.alone import alone, model_alone
from stabsearch.trial.checkpointing import recompute_like
from stabsearch.trial.precision import running_in

if TYPE_CHECKING:
    from transformers import Trainer

    from stabsearch.records import Precision


@dataclass(frozen=True)
class Seen:
    """What a step gave when it was run again."""

    losses: tuple[float, ...] = ()
    """Loss of each micro-batch as it was back-propagated, before any loss scale."""
    grad_norm: float = math.nan
    """Global L2 norm of the gradients, loss scale taken out; NaN when they were not computed."""
    are_gradients_finite: bool = True
    """Whether every gradient, and their norm, was finite with the loss scale in it."""
    are_outputs_finite: bool = True
    """Whether the model's outputs beside the loss were finite."""
    outputs_digest: str = ""
    gradients_digest: str = ""
    error: str = ""
    """What was raised, empty when nothing was."""

    @property
    def is_finite(self) -> bool:
        """True when nothing was raised, and losses and gradients were finite."""
        return self.are_losses_finite and self.are_gradients_finite

    @property
    def are_losses_finite(self) -> bool:
        """True when nothing was raised and every loss was finite."""
        return not self.error and all(map(math.isfinite, self.losses))

    @property
    def digest(self) -> Digest:
        """Return all of it for a comparison bit by bit."""
        return Digest(
            tuple(map(bits, self.losses)), self.outputs_digest, self.gradients_digest, bits(self.grad_norm)
        )


@dataclass
class Rerun:
    """Runs a step's micro-batches again, each with its own random numbers, and buffers on the same model.

    Everything goes through the Trainer's own ``training_step``, so custom losses and steps count.
    Weights, buffers and random numbers are as before afterwards; gradients are cleared.

    Args:
        trainer: not instrumented, or no longer.
        window: the micro-batches.
    """

    trainer: Trainer
    window: Sequence[MicroBatch]
    with_gradients: bool = True
    """Back-propagate as well; a loss alone costs a third."""

    def __post_init__(self) -> None:
        trainer: Any = self.trainer
        if not hasattr(trainer, "current_gradient_accumulation_steps"):  # set by ``train()``
            trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps

    def as_trained(self, loss_scale: float = 1.0) -> Seen:
        """Return what the Trainer's own model gives, prepared as it is, with this fp16 loss scale."""
        trainer: Any = self.trainer
        scale = loss_scale if trainer.accelerator.scaler is not None else None
        return self._seen(model_alone(trainer), scale)

    def seen(
        self, model: torch.nn.Module, precision: Precision, loss_scale: float | None = None, *,
        keeps_weights: bool = False,
    ) -> Seen:  # fmt: skip
        """Return what a model gives in some precision; its weights are the very ones of before afterwards.

        Args:
            model: on the Trainer's device, without any preparation of Accelerate's.
            precision: dtype of weights and of autocast, and the rounding of fp32 matrix products.
            loss_scale: of fp16; None: losses are not scaled.
            keeps_weights: leave the weights in the dtype they are in, whatever the precision says.
        """
        recompute_like(self.trainer, model)
        device_type = self.trainer.args.device.type
        with running_in(model, precision, device_type, keeps_weights=keeps_weights):
            return self._seen(model, loss_scale)

    def _seen(self, model: torch.nn.Module, loss_scale: float | None) -> Seen:
        ear = _Ear()
        with ExitStack() as around:
            around.enter_context(alone(self.trainer, model))
            around.enter_context(rng_kept())
            around.enter_context(buffers_kept(model))
            around.enter_context(_scaler(self.trainer, loss_scale))
            around.enter_context(ear.listening(self.trainer, model, self.with_gradients))
            try:
                for micro_batch in self.window:
                    self._step(model, micro_batch, ear)
            except (torch.OutOfMemoryError, MemoryError):
                model.zero_grad(set_to_none=True)
                raise  # says nothing about the step
            except Exception as error:  # noqa: BLE001 - what a step raises is what is asked for
                ear.error = f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
                error.__traceback__ = None  # it would hold on to every activation
            seen = ear.seen(model, loss_scale or 1.0)
            model.zero_grad(set_to_none=True)
        return seen

    def _step(self, model: torch.nn.Module, micro_batch: MicroBatch, ear: _Ear) -> None:
        trainer: Any = self.trainer
        if model in (trainer.model, trainer.model_wrapped):  # another model has buffers of its own
            restore_buffers(trainer.model, micro_batch.buffers)
        micro_batch.rng.restore()
        known = len(ear.losses)
        loss = trainer.training_step(model, micro_batch.batch(), micro_batch.num_items)
        if len(ear.losses) == known:  # an override that back-propagates by itself
            ear.losses.append(float(loss.detach()))


@dataclass
class _Ear:
    """Hears losses and outputs while a step runs."""

    losses: list[float] = field(default_factory=list)
    outputs: list[torch.Tensor] = field(default_factory=list)
    error: str = ""

    @contextmanager
    def listening(self, trainer: Trainer, model: torch.nn.Module, with_gradients: bool) -> Iterator[None]:
        accelerator: Any = trainer.accelerator
        original = accelerator.backward

        def backward(loss: torch.Tensor, **named: Any) -> None:
            self.losses.append(float(loss.detach()))
            if with_gradients:
                original(loss, **named)

        model.zero_grad(set_to_none=True)
        hook = model.register_forward_hook(lambda _, __, output: self._keep(output))
        accelerator.backward = backward
        try:
            with torch.enable_grad():
                yield
        finally:
            accelerator.backward = original
            hook.remove()

    def _keep(self, output: Any) -> None:
        items = output.items() if hasattr(output, "items") else [("", output)]
        found = [tensor for name, value in items if name != "loss" for tensor in _tensors(value)]
        self.outputs += [tensor.detach() for tensor in found]

    def seen(self, model: torch.nn.Module, loss_scale: float) -> Seen:
        grads = [weight.grad for weight in model.parameters()]
        there = [grad for grad in grads if grad is not None]
        norm = float(torch.nn.utils.get_total_norm([grad.float() for grad in there])) if there else math.nan
        return Seen(
            losses=tuple(self.losses),
            grad_norm=norm / loss_scale,
            are_gradients_finite=not there or math.isfinite(norm),
            are_outputs_finite=all(bool(torch.isfinite(tensor).all()) for tensor in self.outputs),
            outputs_digest=digest(self.outputs),
            gradients_digest=digest(grads),
            error=self.error,
        )


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


@contextmanager
def _scaler(trainer: Trainer, loss_scale: float | None) -> Iterator[None]:
    """Put a loss scaler of this scale into the Trainer, or none, and the old one back afterwards."""
    accelerator: Any = trainer.accelerator
    before = accelerator.scaler
    device = trainer.args.device.type
    accelerator.scaler = None if loss_scale is None else torch.amp.GradScaler(device, init_scale=loss_scale)
    try:
        yield
    finally:
        accelerator.scaler = before
