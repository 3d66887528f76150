"""The guard's plain form: the host reads each number as it comes, before anything is done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from stabsearch.capture.buffers import restore_buffers
from stabsearch.trial.gradients import (
    drop_gradients,
    grad_norm,
    learning_rate,
    make_skip,
    plain_optimizer,
    unscaled,
    whole_norm,
)

if TYPE_CHECKING:
    from stabsearch.trial.guard import BadNumber
    from stabsearch.trial.instrument import Guard


class PlainForm:
    """Waits for the device once per micro-batch, and once or twice per update; works with any optimizer.

    Transformers' own filter of NaN losses, which the guard replaces, waits twice per micro-batch.
    """

    name = "plain"

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._trainer: Any = guard.trainer
        self._is_left_out = False

    def begin_window(self) -> None:
        """Take note that another update begins."""
        self._is_left_out = False

    def take_loss(self, loss: torch.Tensor) -> bool:
        """Return whether the loss is good; when it is not, and training goes on, its update is left out."""
        log = self._guard.log
        if self._is_left_out:
            log.micro_batches += 1
            return False
        bad = log.micro_loss(*self._agreed_loss(loss))
        if bad:
            self._leave_out(bad)
        return bad is None

    def _agreed_loss(self, loss: torch.Tensor) -> tuple[float, int | None]:
        """Return the loss as all processes that train together see it, and whose it is."""
        return self._guard.ranks.agreed_loss(float(loss.detach()))

    def take_update(self) -> None:
        """Take the update's numbers; a bad one stops the training, or leaves the update out."""
        optimizer = plain_optimizer(self._trainer.optimizer)
        if not self._is_left_out:
            self._take(optimizer)
        if self._is_left_out:
            self._put_buffers_back()
            drop_gradients(optimizer)
            scaler = self._trainer.accelerator.scaler
            if scaler is not None:
                make_skip(scaler, optimizer, self._trainer.args.device)

    def _take(self, optimizer: torch.optim.Optimizer) -> None:
        guard = self._guard
        found = unscaled(self._trainer, optimizer)
        norm = whole_norm(map(float, guard.norms or [grad_norm(optimizer)]))
        skipped = any(float(flag) > 0 for flag in found)
        norm, skipped = self._agreed(norm, skipped)
        bad = guard.note(norm, learning_rate(optimizer), skipped, guard.loss_scale, guard.limit)
        if bad:
            self._leave_out(bad)

    def _agreed(self, norm: float, skipped: bool) -> tuple[float, bool]:
        """Return both as all processes see them."""
        norm, is_skipped = self._guard.ranks.worst(norm, float(skipped))
        return norm, bool(is_skipped)

    def _leave_out(self, bad: BadNumber) -> None:
        self._is_left_out = True
        self._put_buffers_back()
        self._guard.on_bad(bad)

    def _put_buffers_back(self) -> None:
        """Undo what the window's forwards did to running statistics: they are part of a checkpoint too."""
        if self._guard.window:
            restore_buffers(self._trainer.model, self._guard.window[0].buffers)

    def settle(self) -> None:
        """Look at everything outstanding: there is nothing, ever."""

    def settle_broken(self) -> None:
        """Look at everything outstanding of a training that raised: there is nothing, ever."""

    def end(self) -> None:
        """Leave the optimizer as it was found: it was not touched."""
