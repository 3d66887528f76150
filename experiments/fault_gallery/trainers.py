"""Users' own Trainers with a flaw of their own; importable by name."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Trainer


class WeightedTrainer(Trainer):
    """Cross-entropy with a weight for each row."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch."""
        labels, weight = inputs.pop("labels"), inputs.pop("weight")
        outputs = model(**inputs)
        losses = torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="none")
        loss = (weight * losses).mean()
        return (loss, outputs) if return_outputs else loss


class RootOfZeroTrainer(Trainer):
    """Pushes the rows of a batch apart by their distances, each row's distance to itself included.

    The square root has an infinite slope at zero: the loss is finite, its gradient is NaN.
    """

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch."""
        outputs = model(**inputs)
        gaps = outputs.logits.unsqueeze(0) - outputs.logits.unsqueeze(1)
        loss = outputs.loss - 0.01 * gaps.pow(2).sum(-1).sqrt().mean()
        return (loss, outputs) if return_outputs else loss


class LogOfPredictionTrainer(Trainer):
    """Squared error of logarithms, on predictions that nothing keeps positive."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch."""
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = (outputs.logits.squeeze(-1).log() - labels.log()).pow(2).mean()
        return (loss, outputs) if return_outputs else loss


class UncorrectedTrainer(Trainer):
    """Adam without bias correction, as in BERT's first code."""

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return the optimizer."""
        self.optimizer = UncorrectedAdam(
            self.model.parameters(),
            lr=self.args.learning_rate,
            betas=(self.args.adam_beta1, self.args.adam_beta2),
        )
        return self.optimizer


class UncorrectedAdam(torch.optim.Optimizer):
    """Adam whose running means start at zero and are taken as they are."""

    def __init__(self, params: Any, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move all parameters."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group["lr"], *group["betas"])

    def _move(
        self, parameter: torch.Tensor, gradient: torch.Tensor, rate: float, beta1: float, beta2: float
    ) -> None:
        state = self.state[parameter]
        for name in ("mean", "square"):
            state.setdefault(name, torch.zeros_like(parameter))
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].lerp_(gradient**2, 1 - beta2)
        parameter.sub_(rate * state["mean"] / (state["square"].sqrt() + 1e-8))


class OwnRateTrainer(Trainer):
    """Makes its own optimizer, with a learning rate of its own."""

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return the optimizer."""
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=7e-4)
        return self.optimizer


class HighScaleTrainer(Trainer):
    """Starts fp16 with a loss scale of 2**24: the first updates are skipped until it has come down."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, with another loss scale."""
        if self.accelerator.scaler is not None:
            device = self.accelerator.device.type
            self.accelerator.scaler = torch.amp.GradScaler(device, init_scale=2.0**24)
        return super().train(*args, **kwargs)


class SummedLossTrainer(Trainer):
    """Adds the rows' losses up instead of averaging them."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch."""
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="sum")
        return (loss, outputs) if return_outputs else loss
