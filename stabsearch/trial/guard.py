"""The guard's memory: raw numbers in, the first bad one out; pure, no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from stabsearch.records import StepTrace

BadKind = Literal["loss", "gradient", "weight"]
"""``weight``: an optimizer made it of finite gradients, seen before it would have been saved."""


@dataclass(frozen=True)
class BadNumber:
    """The first number that was not finite."""

    kind: BadKind
    step: int
    """1-based optimizer step that it belongs to; its update never happened, unless a weight is bad."""
    micro_batch: int
    """1-based micro-batch since the start of training."""
    value: float
    process: int | None = None
    """Which of several processes it is a number of, from 0; None: of all, or there is only one."""

    @property
    def message(self) -> str:
        """Return what happened, in one line."""
        where = f"micro-batch {self.micro_batch}"
        if self.process is not None:
            where += f" of process {self.process}"
        return f"{self.kind} is {self.value} at optimizer step {self.step} ({where})"


@dataclass
class GuardLog:
    """Everything the guard saw of one training run, per optimizer step, oldest first."""

    losses: list[float] = field(default_factory=list)
    """Raw loss per example: what was back-propagated, over the step's micro-batches."""
    grad_norms: list[float] = field(default_factory=list)
    """Global L2 norm before clipping; NaN where a bad loss came first."""
    learning_rates: list[float] = field(default_factory=list)
    skipped: list[bool] = field(default_factory=list)
    """True where the fp16 loss scaler skips the update."""
    loss_scales: list[float] = field(default_factory=list)
    """fp16 loss scale before the update; 1.0 without a scaler."""
    micro_batches: int = 0
    bad: BadNumber | None = None
    """The latest number that was bad; the only one where it ended the training."""
    steps_before: int = 0
    """Optimizer steps that were taken before this log began: a resumed training."""
    losses_are_means: bool = False
    """Each micro-batch's loss is a mean of its own, not its share of the step's loss."""
    loss_multiple: int = 1
    """How many times what it should be each loss is, beside that."""
    _window: list[float] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Return the 1-based optimizer step that is being computed."""
        return self.steps_before + len(self.losses) + 1

    @property
    def last_step(self) -> int:
        """Return the 1-based optimizer step whose numbers came last."""
        return max(self.step - 1, 1)

    @property
    def window(self) -> tuple[float, ...]:
        """Return the losses of the current step's micro-batches, as they were back-propagated."""
        return tuple(self._window)

    def micro_loss(self, value: float, process: int | None = None) -> BadNumber | None:
        """Take the loss of a micro-batch, before it is back-propagated; return it if it is bad.

        Args:
            value: of several processes that train together: their mean, or the bad one.
            process: whose it is, when it is bad and there are several.
        """
        self.micro_batches += 1
        if not math.isfinite(value):
            self.bad = BadNumber("loss", self.step, self.micro_batches, value, process)
            self._close(value, math.nan, math.nan, skipped=False, loss_scale=math.nan)
            return self.bad
        self._window.append(value)
        return None

    def update(
        self, grad_norm: float, learning_rate: float, skipped: bool = False, loss_scale: float = 1.0
    ) -> BadNumber | None:
        """Take the numbers of an update, before the optimizer steps; return the norm if it is bad.

        A non-finite gradient that the loss scaler skips is normal dynamic loss scaling, not a
        bad number (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2).
        """
        step, loss = self.step, self._step_loss()
        self._close(loss, grad_norm, learning_rate, skipped, loss_scale)
        bad = None
        if not math.isfinite(loss):  # finite micro-batches can still overflow in their sum
            bad = BadNumber("loss", step, self.micro_batches, loss)
        elif not (math.isfinite(grad_norm) or skipped):
            bad = BadNumber("gradient", step, self.micro_batches, grad_norm)
        self.bad = bad or self.bad
        return bad

    def trace(self) -> StepTrace:
        """Return losses, gradient norms and, where a scaler was at work, its scales, for the record."""
        has_scaler = any(scale != 1.0 for scale in self.loss_scales if math.isfinite(scale))
        scales = self.loss_scales if has_scaler else ()
        return StepTrace.thinned(self.losses, self.grad_norms, loss_scales=scales)

    def _step_loss(self) -> float:
        total = sum(self._window) / self.loss_multiple
        return total / len(self._window) if self.losses_are_means and self._window else total

    def _close(
        self, loss: float, grad_norm: float, learning_rate: float, skipped: bool, loss_scale: float
    ) -> None:
        self.losses.append(loss)
        self.grad_norms.append(grad_norm)
        self.learning_rates.append(learning_rate)
        self.skipped.append(skipped)
        self.loss_scales.append(loss_scale)
        self._window.clear()
