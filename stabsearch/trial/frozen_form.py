"""The guard's frozen form: the device holds the weights still by itself, and the host looks later."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import DistributedType

from stabsearch.capture.buffers import restore_buffers
from stabsearch.trial.device_rows import DeviceRows, sender
from stabsearch.trial.gradients import (
    drop_gradients,
    grad_norm,
    learning_rate,
    plain_optimizer,
    unscaled,
    whole_norm,
)
from stabsearch.trial.standing import Standing

if TYPE_CHECKING:
    from stabsearch.capture.micro_batch import MicroBatch
    from stabsearch.trial.guard import BadNumber
    from stabsearch.trial.instrument import Guard

LOOK_EVERY = 4  # chosen: a copy costs the host about 20 us, a failed trial this many steps


@dataclass(frozen=True)
class _Unseen:
    """An update whose numbers are still on the device."""

    window: tuple[MicroBatch, ...]
    num_losses: int
    num_norms: int
    rate: float
    max_grad_norm: float
    standing: Standing


class FrozenForm:
    """Waits for the device in no step: what the plain form reads stays there, in rows of a few numbers.

    A flag on the device goes up with the first number that is not finite, and stays. It is handed to the
    fused optimizer as ``found_inf``, which then leaves weights and its own numbers as they are (what the
    fp16 loss scaler skips updates with). When the host reads the row, some updates later, everything
    is as it was before the bad one: micro-batches are held until then, and what the Trainer counts is put
    back. The host waits where the training waits anyway (logs, evaluations, checkpoints, the end), for
    the first update, and where the fp16 loss scale is about to reach its floor.

    Args:
        guard: of a Trainer whose optimizer is made; ``why_not`` said nothing against it.
    """

    name = "frozen"

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._trainer: Any = guard.trainer
        self._optimizer = plain_optimizer(self._trainer.optimizer)
        self._device = _devices(self._optimizer).pop()
        self._flag = torch.zeros((), device=self._device)
        self._one = torch.ones((), device=self._device)
        self._losses: list[torch.Tensor] = []
        self._rows = DeviceRows(sender(self._device), LOOK_EVERY)
        self._unseen: deque[_Unseen] = deque()
        self._has_looked = False
        self._hook = self._optimizer.register_step_pre_hook(self._hold)

    def begin_window(self) -> None:
        """Take note that another update begins."""
        self._losses.clear()

    def take_loss(self, loss: torch.Tensor) -> bool:
        """Keep the loss, whatever it is: it is back-propagated."""
        self._losses.append(loss.detach().clone())
        return True

    def take_update(self) -> None:
        """Keep the update's numbers, and look at those that have come in the meantime."""
        found = unscaled(self._trainer, self._optimizer)
        norms = self._guard.norms or [grad_norm(self._optimizer)]
        self._unseen.append(
            _Unseen(
                tuple(self._guard.window),
                len(self._losses),
                len(norms),
                learning_rate(self._optimizer),
                self._guard.limit,
                Standing.of(self._trainer, self._optimizer),
            )
        )
        self._rows.add(self._row(norms, found))
        self._losses.clear()
        if self._must_look():
            self.settle()
        else:
            self._see(self._rows.arrived())

    def settle(self) -> None:
        """Look at everything outstanding, waiting for it; raise what the plain form would have raised."""
        self._see(self._rows.all())

    def settle_broken(self) -> None:
        """Look at everything outstanding of a training that raised, the update that it was in included."""
        self.settle()
        for place, loss in enumerate(self._losses, 1):
            bad = self._guard.log.micro_loss(float(loss))
            if bad:
                del self._guard.window[place:]
                self._fail(bad)

    def end(self) -> None:
        """Leave the optimizer as it was found."""
        self._hook.remove()
        self._optimizer.__dict__.pop("found_inf", None)

    def _hold(self, optimizer: Any, *_: Any) -> None:
        """Hand the flag to the optimizer, just before its kernel runs."""
        found: Any = getattr(optimizer, "found_inf", None)  # the loss scaler has put it there
        is_scaled = found is not None and found is not self._flag
        optimizer.found_inf = torch.maximum(found, self._flag) if is_scaled else self._flag

    def _row(self, norms: list[Any], found: list[torch.Tensor]) -> torch.Tensor:
        """Return the update's numbers, and raise the flag if one is bad: losses, norms, scale, found_inf."""
        parts = [*self._losses, *map(torch.as_tensor, norms)]
        if found:
            parts += [self._trainer.accelerator.scaler._scale, *found]
        row = torch.stack([part.reshape(()).to(self._device, non_blocking=True) for part in parts])
        row = row.float() if row.dtype.itemsize < 4 else row
        losses, rest = row[: len(self._losses)], row[len(self._losses) : len(self._losses) + len(norms)]
        if found:  # a gradient that the loss scaler skips is no bad number
            skips = row[-len(found) :].amax()
            rest = torch.where(skips > 0, skips, rest)
        seen = [part for part in (losses, rest) if part.numel()]
        # the loss scaler's own kernel: sets the flag to exactly 1 at a non-finite number, and never to 0
        torch._amp_foreach_non_finite_check_and_unscale_(seen, self._flag, self._one)
        return row

    def _must_look(self) -> bool:
        """Return whether the host has to know before this update is taken."""
        guard = self._guard
        is_first = not self._has_looked or (guard.reference is not None and guard.reference.is_measuring)
        return is_first or (guard.spare is not None and len(self._unseen) > guard.spare)

    def _see(self, rows: list[list[float]]) -> None:
        for row in rows:
            self._has_looked = True
            self._see_update(self._unseen.popleft(), row)

    def _see_update(self, update: _Unseen, row: list[float]) -> None:
        """Tell the guard of an update as the plain form would have; put the Trainer back if it ends there."""
        guard, window = self._guard, self._guard.window
        losses, norms = row[: update.num_losses], row[update.num_losses :][: update.num_norms]
        scale, *found = row[update.num_losses + update.num_norms :] or [1.0]
        guard.window = list(update.window)
        bad = None
        try:
            for place, loss in enumerate(losses, 1):
                bad = guard.log.micro_loss(loss)
                if bad:
                    del guard.window[place:]
                    break
            else:
                skipped = any(flag > 0 for flag in found)
                bad = guard.note(whole_norm(norms), update.rate, skipped, scale, update.max_grad_norm)
        except Exception:
            self._go_back(update, scale)
            raise
        if bad:
            self._go_back(update, scale)
            self._fail(bad)
        guard.window = window

    def _go_back(self, update: _Unseen, loss_scale: float) -> None:
        """Put the Trainer where it stood before an update, the last one that is of interest."""
        update.standing.restore(self._trainer, self._optimizer, loss_scale)
        self._rows.drop()
        self._unseen.clear()

    def _fail(self, bad: BadNumber) -> None:
        restore_buffers(self._trainer.model, self._guard.window[0].buffers)
        drop_gradients(self._optimizer)  # they are a later update's
        self._flag.zero_()
        self._guard.on_bad(bad)
        raise AssertionError("the frozen form cannot leave an update out: on_bad has to raise")


def why_not(trainer: Any) -> str:
    """Return why a training cannot be guarded in the frozen form; empty when it can.

    Args:
        trainer: its optimizer is made.
    """
    accelerator, optimizer = trainer.accelerator, plain_optimizer(trainer.optimizer)
    if accelerator.num_processes > 1 or accelerator.distributed_type != DistributedType.NO:
        return "several processes have to agree on each number"
    if trainer.args.n_gpu > 1 or len(_devices(optimizer)) != 1:
        return "the weights are on several devices"
    # a step of somebody else's may do more than the kernel that skips
    is_torch = type(optimizer).step.__module__.startswith("torch.optim.")
    if not (is_torch and getattr(optimizer, "_step_supports_amp_scaling", False)):
        return (
            f"{type(optimizer).__name__} cannot skip an update on the device, as fused optimizers of torch do"
        )
    if any(isinstance(group["lr"], torch.Tensor) for group in optimizer.param_groups):
        return "the learning rate is on the device"
    return ""


def waits(device: torch.device) -> bool:
    """Return whether reading a number from a device takes waiting for what it has still to do."""
    return device.type == "cuda"


def _devices(optimizer: torch.optim.Optimizer) -> set[torch.device]:
    return {weight.device for group in optimizer.param_groups for weight in group["params"]}
