"""The guard on a live Trainer: any Trainer, also a user's subclass, instrumented in place."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from stabsearch.capture.buffers import ChangingBuffers
from stabsearch.capture.micro_batch import MicroBatch, RngState
from stabsearch.capture.rows import RowNumbers
from stabsearch.trial.accumulation import LossReference
from stabsearch.trial.forms import Form, GuardForm, chosen_form
from stabsearch.trial.guard import BadNumber, GuardLog
from stabsearch.trial.plain_form import PlainForm
from stabsearch.trial.ranks import Ranks

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
    back-propagated), ``accelerator.clip_grad_norm_`` (the norm, computed anyway), and ``train`` (its
    end). What a replay needs of a micro-batch is held by reference until its update has been seen.

    In both forms the log, the calls below and what is captured are the same. Stopped at a bad number, the
    Trainer stands as it did before that update. In the frozen form ``on_update`` is called a few updates
    late: where it raises, counts are put back, but weights may have moved on.

    Args:
        trainer: any Trainer, before ``train()``.
        on_update: called with the log after each completed update's numbers are known and before
            the optimizer steps; what it raises stops the training there. It may return how many further
            updates can pass unseen, for it to raise in time; None: any number.
        reference: tells losses that are means from losses that are shares of the step's loss; costs
            one more forward per micro-batch of the first update.
        on_bad: called with the first bad number of an update before the optimizer steps; what it
            raises stops the training there, and when it returns the update is left out, which only
            the plain form can. Default: raises ``TrainingBroke``.
        form: ``auto`` is frozen on a CUDA device, with a fused optimizer and a single process.

    Raises:
        UserError: from ``train()``, when ``form`` is ``frozen`` and that cannot be.
    """

    def __init__(
        self,
        trainer: Trainer,
        on_update: Callable[[GuardLog], int | None] | None = None,
        reference: LossReference | None = None,
        on_bad: Callable[[BadNumber], None] | None = None,
        form: GuardForm = "auto",
    ) -> None:
        self.trainer = trainer
        self.ranks = Ranks.of(trainer)
        """The processes that train together; they stop together, at agreed numbers."""
        self.log = GuardLog()
        self.window: list[MicroBatch] = []
        """The current step's micro-batches, as they were before their forwards."""
        self.first_skipped: Update | None = None
        """First of the updates in a row that the fp16 loss scaler skips; weights have not moved since."""
        self.max_grad_norm = math.nan
        """What the last update was clipped to; NaN as long as there was none."""
        self.norms: list[Any] = []
        """What clipping returned for the current update: the norm, or the norms of its parts."""
        self.limit = math.nan
        """Norm last passed to clipping."""
        self.on_bad, self.reference = on_bad or _break, reference
        self.spare: int | None = None
        """How many updates can pass before ``on_update`` must have seen them."""
        self._on_update, self._wanted = on_update, form
        self._form: Form = PlainForm(self)
        self._micro_batches = self._losses = 0
        self._is_new_window, self._is_paused = True, False
        self._buffers = ChangingBuffers()
        self._rows = RowNumbers(trainer)
        self._undo: list[tuple[Any, str, Any]] = []
        trainer.args.logging_nan_inf_filter = False  # it reports a mean instead of a NaN
        self._wrap(trainer, "train", self._train)
        self._wrap(trainer, "training_step", self._training_step)
        self._wrap(trainer.accelerator, "backward", self._backward)
        self._wrap(trainer.accelerator, "clip_grad_norm_", self._clip)
        self._callback = _Moments(self)
        trainer.add_callback(self._callback)

    @property
    def form(self) -> str:
        """Return the form that is in force: ``plain`` or ``frozen``."""
        return self._form.name

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
        self._form.end()
        self.trainer.remove_callback(self._callback)

    def _wrap(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return original(*args, **kwargs) if self._is_paused else around(original, *args, **kwargs)

        self._undo.append((owner, name, original))
        setattr(owner, name, wrapped)

    def began(self, global_step: int) -> None:
        """Start over: a training begins, or goes on after so many updates; its optimizer is made."""
        self.log = GuardLog(steps_before=global_step)
        self.first_skipped, self.spare, self._is_new_window = None, None, True
        self._micro_batches = self._losses = 0
        self.norms.clear()
        self._rows.resumed_at(global_step)
        self._form.end()
        self._form = chosen_form(self, self._wanted)

    def settle(self) -> None:
        """See to it that everything up to now has been looked at; raise if it is bad."""
        self._form.settle()

    def note(
        self, grad_norm: float, learning_rate: float, skipped: bool, loss_scale: float, max_grad_norm: float
    ) -> BadNumber | None:
        """Take the numbers of an update whose losses are in the log; return the norm if it is bad.

        Args:
            grad_norm: global L2 norm before clipping.
            learning_rate: that the optimizer is going to step with, or did.
            skipped: the fp16 loss scaler skips the update.
            loss_scale: that the update met.
            max_grad_norm: that it was clipped to.
        """
        self.max_grad_norm = max_grad_norm
        if self.reference:
            self.log.losses_are_means = self.reference.says_means(self.log.window)
            self.log.loss_multiple = self.reference.multiple
        if not skipped:
            self.first_skipped = None
        elif self.first_skipped is None:
            self.first_skipped = Update(self.log.step, tuple(self.window), loss_scale)
        bad = self.log.update(grad_norm, learning_rate, skipped, loss_scale)
        if bad is None and self._on_update:
            self.spare = self._on_update(self.log)
        return bad

    def _train(self, original: Callable[..., Any], *args: Any, **named: Any) -> Any:
        try:
            return original(*args, **named)
        except Exception:
            with suppress(RuntimeError):  # a device that failed answers nothing any more
                self._form.settle_broken()
            raise
        finally:
            self._form.end()

    def _training_step(
        self, original: Callable[..., Any], model: Any, inputs: Any, *rest: Any, **named: Any
    ) -> Any:
        if self._is_new_window:
            self.window = []
            self._is_new_window = False
            self._form.begin_window()
        self._micro_batches += 1
        self.window.append(
            self._micro_batch(inputs, named.get("num_items_in_batch", rest[0] if rest else None))
        )
        if self.reference:  # it may raise, and then the batch has to be known
            self.reference.measure(model, inputs)
        seen = self._losses
        loss = original(model, inputs, *rest, **named)
        if self._losses == seen:  # an override that back-propagates by itself
            self._take(loss)
        return loss

    def _micro_batch(self, inputs: Any, num_items: Any) -> MicroBatch:
        return MicroBatch.of(
            inputs,
            RngState.now(),
            num_items=self.ranks.items_alone(num_items),
            rows=self._rows.take(),
            buffers=self._buffers.before_forward(self.trainer.model),
            number=self._micro_batches,
        )

    def _take(self, loss: torch.Tensor) -> bool:
        self._losses += 1
        return self._form.take_loss(loss)

    def _backward(self, original: Callable[..., Any], loss: torch.Tensor, **named: Any) -> Any:
        if self._take(loss):
            return original(loss, **named)
        if self.trainer.accelerator.scaler is not None:
            self.trainer.accelerator.scaler.scale(loss.detach())  # it makes its scale in the first call
        return None

    def _clip(
        self, original: Callable[..., Any], parameters: Any, max_norm: float, *rest: Any, **named: Any
    ) -> Any:
        norm = original(parameters, max_norm, *rest, **named)
        self.norms.append(norm)  # a Trainer may clip in parts
        self.limit = float(max_norm)
        return norm

    def before_update(self) -> None:
        """Take the update's numbers; a bad one stops the training, or leaves the update out."""
        self._is_new_window = True
        self._buffers.look_again()
        self._form.take_update()
        self.norms.clear()


class _Moments(TrainerCallback):  # type: ignore[misc]
    """Tells the guard what the Trainer is about to do."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._guard.began(state.global_step)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._guard.before_update()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if _is_wanted(control):
            self._guard.settle()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if _is_wanted(control):
            self._guard.settle()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._guard.settle()


def _is_wanted(control: Any) -> bool:
    """Return whether the Trainer is going to use the numbers of the training, and so to wait for them."""
    is_told = control.should_log or control.should_evaluate or control.should_save
    return bool(is_told or control.should_training_stop)


def _break(bad: BadNumber) -> None:
    raise TrainingBroke(bad)
