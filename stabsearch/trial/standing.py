"""Where a Trainer stood before an update, and how to get it back there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Standing:
    """What a Trainer counts, beside weights and the optimizer's own numbers, just before an update."""

    global_step: int
    epoch: float | None
    num_logs: int
    num_micro_batches: int
    """Micro-batches of this update, as the Trainer divides losses by them."""
    rates: tuple[float, ...]
    """Learning rate of each group of weights."""
    schedule: dict[str, Any]
    num_states: int
    """Weights that the optimizer had numbers for."""
    growth: torch.Tensor | None
    """Updates since the fp16 loss scale was changed last; None without a scaler."""

    @classmethod
    def of(cls, trainer: Any, optimizer: torch.optim.Optimizer) -> Standing:
        """Return where a Trainer stands now; no device is waited for."""
        state, scaler = trainer.state, trainer.accelerator.scaler
        return cls(
            global_step=state.global_step,
            epoch=state.epoch,
            num_logs=len(state.log_history),
            num_micro_batches=trainer.current_gradient_accumulation_steps,
            rates=tuple(group["lr"] for group in optimizer.param_groups),
            schedule=trainer.lr_scheduler.state_dict(),
            num_states=len(optimizer.state),
            growth=None if scaler is None else scaler._growth_tracker.clone(),
        )

    def restore(self, trainer: Any, optimizer: torch.optim.Optimizer, loss_scale: float) -> None:
        """Put a Trainer back there.

        Args:
            trainer: has gone on since, without a change of its weights.
            optimizer: its plain optimizer.
            loss_scale: that the update met; of no meaning without a scaler.
        """
        state, scaler = trainer.state, trainer.accelerator.scaler
        state.global_step, state.epoch = self.global_step, self.epoch
        del state.log_history[self.num_logs :]
        trainer.current_gradient_accumulation_steps = self.num_micro_batches
        trainer.lr_scheduler.load_state_dict(self.schedule)
        for group, rate in zip(optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate
        for weight in list(optimizer.state)[self.num_states :]:  # first met in an update that was not taken
            del optimizer.state[weight]
        if scaler is not None and self.growth is not None:
            scaler._growth_tracker.copy_(self.growth)
            scaler._scale.fill_(loss_scale)
