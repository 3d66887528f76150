"""The guard on a live Trainer: any Trainer, also a user's subclass, instrumented in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.amp.grad_scaler import OptState
from transformers import TrainerCallback

from stabsearch.capture.buffers import ChangingBuffers, restore_buffers
from stabsearch.capture.micro_batch import MicroBatch, RngState
from stabsearch.capture.rows import RowNumbers
from stabsearch.trial.accumulation import LossReference
from stabsearch.trial.guard import BadNumber, GuardLog

if TYPE_CHECKING:
    from transformers import Trainer


class TrainingBroke(Exception):  # noqa: N818 - it names what happened to the user's run
    """A loss or gradient was not finite; the weights are those from before the bad update.

    Or the weights themselves were not (``bad.kind`` is ``weight``): an optimizer spoiled them.

    Attributes:
        bad: the first bad number, with its optimizer step and micro-batch.
        bundle: folder that holds the bad batch, for ``stabsearch replay``; None when none was kept.
        note: what else is known: that the weights were bad before, or why no bundle was kept; or empty.
    """

    def __init__(self, bad: BadNumber, bundle: Path | None = None, note: str = "") -> None:
        super().__init__(f"{bad.message}; {note}" if note else bad.message)
        self.bad, self.bundle, self.note = bad, bundle, note


@dataclass(frozen=True)
class Update:
    """One optimizer step's micro-batches, and the loss scale that they met."""

    step: int
    """1-based optimizer step."""
    window: tuple[MicroBatch, ...]
    loss_scale: float


class Guard:
    """Raw numbers of a live Trainer, and the power to stop it.

    Bound methods are wrapped on the instance, so that overrides in subclasses stay in force:
    ``training_step`` (the batch), ``accelerator.backward`` (the loss that is really
    back-propagated) and ``accelerator.clip_grad_norm_`` (the norm, computed anyway). What a replay
    needs of a micro-batch is held by reference until its update is over.

    Args:
        trainer: any Trainer, before ``train()``.
        on_update: called with the log after each completed update's numbers are known and before
            the optimizer steps; what it raises stops the training there.
        reference: tells losses that are means from losses that are shares of the step's loss; costs
            one more forward per micro-batch of the first update.
        on_bad: called with the first bad number of an update before the optimizer steps; what it
            raises stops the training there, and when it returns the update is left out. Default:
            raises ``TrainingBroke``.
    """

    def __init__(
        self,
        trainer: Trainer,
        on_update: Callable[[GuardLog], None] | None = None,
        reference: LossReference | None = None,
        on_bad: Callable[[BadNumber], None] | None = None,
    ) -> None:
        self.trainer = trainer
        self.log = GuardLog()
        self.window: list[MicroBatch] = []
        """The current step's micro-batches, as they were before their forwards."""
        self.first_skipped: Update | None = None
        """First of the updates in a row that the fp16 loss scaler skips; weights have not moved since."""
        self.max_grad_norm = math.nan
        """Norm last passed to clipping; NaN as long as no update was clipped."""
        self._on_update, self._on_bad = on_update, on_bad or _break
        self._reference = reference
        self._norm: Any = None
        self._is_new_window = True
        self._is_left_out = self._is_paused = False
        self._buffers = ChangingBuffers()
        self._rows = RowNumbers(trainer)
        self._undo: list[tuple[Any, str, Any]] = []
        trainer.args.logging_nan_inf_filter = False  # it reports a mean instead of a NaN
        self._wrap(trainer, "training_step", self._training_step)
        self._wrap(trainer.accelerator, "backward", self._backward)
        self._wrap(trainer.accelerator, "clip_grad_norm_", self._clip)
        self._callback = _BeforeUpdate(self)
        trainer.add_callback(self._callback)

    @property
    def batches(self) -> tuple[Mapping[str, Any], ...]:
        """Return the inputs of the current step's micro-batches, as the collator made them."""
        return tuple(micro_batch.inputs for micro_batch in self.window)

    @property
    def loss_scale(self) -> float:
        """Return the fp16 loss scale in force; 1.0 without a scaler."""
        scaler = self.trainer.accelerator.scaler
        return float(scaler.get_scale()) if scaler is not None else 1.0

    @property
    def suspect(self) -> Update:
        """Return the update where things went wrong: the current one, or the first of a row of skips."""
        return self.current if self.log.bad else self.first_skipped or self.current

    @property
    def current(self) -> Update:
        """Return the update whose micro-batches came last."""
        return Update(self.log.last_step, tuple(self.window), self.loss_scale)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Look away: steps that are run again are not part of the training."""
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False

    def release(self) -> None:
        """Take the instrumentation off again; what was seen is kept."""
        for owner, name, original in reversed(self._undo):
            setattr(owner, name, original)
        self._undo.clear()
        self._rows.release()
        self.trainer.remove_callback(self._callback)

    def _wrap(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return original(*args, **kwargs) if self._is_paused else around(original, *args, **kwargs)

        self._undo.append((owner, name, original))
        setattr(owner, name, wrapped)

    def began(self, global_step: int) -> None:
        """Start over: a training begins, or goes on after so many updates."""
        self.log = GuardLog(steps_before=global_step)
        self.first_skipped, self._is_new_window, self._is_left_out = None, True, False
        self._norm = None
        self._rows.resumed_at(global_step)

    def _training_step(
        self, original: Callable[..., Any], model: Any, inputs: Any, *rest: Any, **named: Any
    ) -> Any:
        if self._is_new_window:
            self.window = []
            self._is_new_window = self._is_left_out = False
        self.window.append(
            self._micro_batch(inputs, named.get("num_items_in_batch", rest[0] if rest else None))
        )
        if self._reference:  # it may raise, and then the batch has to be known
            self._reference.measure(model, inputs)
        seen = self.log.micro_batches
        loss = original(model, inputs, *rest, **named)
        if self.log.micro_batches == seen:  # an override that back-propagates by itself
            self._take(loss)
        return loss

    def _micro_batch(self, inputs: Any, num_items: Any) -> MicroBatch:
        return MicroBatch.of(
            inputs,
            RngState.now(),
            num_items=num_items,
            rows=self._rows.take(),
            buffers=self._buffers.before_forward(self.trainer.model),
            number=self.log.micro_batches + 1,
        )

    def _take(self, loss: torch.Tensor) -> bool:
        """Return whether the loss is good; when it is not, and training goes on, its update is left out."""
        if self._is_left_out:
            self.log.micro_batches += 1
            return False
        bad = self.log.micro_loss(float(loss.detach()))
        if bad:
            self._leave_out(bad)
        return bad is None

    def _leave_out(self, bad: BadNumber) -> None:
        self._is_left_out = True
        self._put_buffers_back()
        self._on_bad(bad)

    def _put_buffers_back(self) -> None:
        """Undo what the window's forwards did to running statistics: they are part of a checkpoint too."""
        if self.window:
            restore_buffers(self.trainer.model, self.window[0].buffers)

    def _backward(self, original: Callable[..., Any], loss: torch.Tensor, **named: Any) -> Any:
        if (
            self._take(loss) or self.trainer.accelerator.num_processes > 1
        ):  # the others wait for our gradients
            return original(loss, **named)
        if self.trainer.accelerator.scaler is not None:
            self.trainer.accelerator.scaler.scale(loss.detach())  # it makes its scale in the first call
        return None

    def _clip(
        self, original: Callable[..., Any], parameters: Any, max_norm: float, *rest: Any, **named: Any
    ) -> Any:
        norm = original(parameters, max_norm, *rest, **named)
        # a Trainer may clip in parts; in double precision, for the square of a large norm is not finite
        self._norm = norm if self._norm is None else math.hypot(float(self._norm), float(norm))
        self.max_grad_norm = float(max_norm)
        return norm

    def before_update(self) -> None:
        """Take the update's numbers; a bad one stops the training, or leaves the update out."""
        optimizer = plain_optimizer(self.trainer.optimizer)
        self._is_new_window = True
        if not self._is_left_out:
            self._take_update(optimizer)
        if self._is_left_out:
            self._norm = None
            self._put_buffers_back()
            _drop_gradients(optimizer)
            if self.trainer.accelerator.scaler is not None:
                _make_skip(self.trainer.accelerator.scaler, optimizer, self.trainer.args.device)

    def _take_update(self, optimizer: torch.optim.Optimizer) -> None:
        scaler = self.trainer.accelerator.scaler
        if scaler is not None and not _found_inf(scaler, optimizer):
            self.trainer.accelerator.unscale_gradients()  # an override that clips by itself
        norm = float(_grad_norm(optimizer) if self._norm is None else self._norm)
        skipped = scaler is not None and any(_found_inf(scaler, optimizer))
        rate = max(float(group["lr"]) for group in optimizer.param_groups)
        if self._reference:
            self.log.losses_are_means = self._reference.says_means(self.log.window)
        self._norm = None
        self._note_skip(skipped)
        bad = self.log.update(norm, rate, skipped, self.loss_scale)
        if bad:
            self._leave_out(bad)
        elif self._on_update:
            self._on_update(self.log)

    def _note_skip(self, skipped: bool) -> None:
        if not skipped:
            self.first_skipped = None
        elif self.first_skipped is None:
            self.first_skipped = Update(self.log.step, tuple(self.window), self.loss_scale)


class _BeforeUpdate(TrainerCallback):  # type: ignore[misc]
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._guard.began(state.global_step)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._guard.before_update()


def _break(bad: BadNumber) -> None:
    raise TrainingBroke(bad)


def plain_optimizer(optimizer: Any) -> torch.optim.Optimizer:
    """Return torch's own optimizer below Accelerate's."""
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    plain: torch.optim.Optimizer = optimizer
    return plain


def _drop_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Leave the optimizer nothing to step on: weights and its own state stay as they are."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.grad = None


def _make_skip(scaler: Any, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Have the loss scaler skip the update: it takes a step without any gradient for a mistake."""
    state = scaler._per_optimizer_states[id(optimizer)]
    state["stage"] = OptState.UNSCALED
    state["found_inf_per_device"] = {device: torch.ones((), device=device)}


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
