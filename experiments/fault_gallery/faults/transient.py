"""Something that happens once and never again: what a broken machine does."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

from experiments.fault_gallery.fault import BROKEN, WORSE, Fault
from experiments.fault_gallery.sentences import columns
from experiments.fault_gallery.workload import Planted, table
from stabsearch.records import Cause, Outcome

AT_STEP = 5  # chosen: not the first, and well before the horizon


class ActivationFlipTrainer(Trainer):
    """One activation of one step is infinite, once."""

    once: set[str]
    """Empty until it has happened; shared by all Trainers of a workload."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Train on a micro-batch; at the chosen step, with the fault."""
        handle = None
        if self.state.global_step == AT_STEP and not self.once:
            self.once.add("flipped")
            handle = self.model.bert.embeddings.register_forward_hook(_flip)
        try:
            loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
            return loss
        finally:
            if handle:
                handle.remove()


def _flip(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    flipped = output.clone()
    flipped[0, 0, 0] = torch.inf
    return flipped


class WeightFlipTrainer(Trainer):
    """The highest bit of one weight's exponent flips before one step, once; it stays flipped.

    The weight is one of a layer norm, near 1: 0x3f80_0000 becomes 0x7f80_0000, infinity.
    """

    once: set[str]

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Train on a micro-batch; at the chosen step, with the fault."""
        if self.state.global_step == AT_STEP and not self.once:
            self.once.add("flipped")
            with torch.no_grad():
                self.model.bert.embeddings.LayerNorm.weight.view(torch.int32)[1] ^= 1 << 30
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        return loss


class OncePlanted(Planted):
    """A workload whose fault happens to the first Trainer that gets there."""

    def __init__(self, rows: Any, trainer_class: type[Trainer]) -> None:
        super().__init__(rows, trainer_class=trainer_class)
        self._once: set[str] = set()

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        """Return a Trainer that knows whether it has happened."""
        trainer = super().trainer(args, model_seed)
        trainer.once = self._once
        return trainer


def once(kind: type[Trainer]) -> Any:
    """Return a builder of healthy rows and a Trainer that something happens to once."""
    return lambda seed: OncePlanted(table(columns(seed)), kind)


_fault = partial(Fault, family="hardware", cause=Cause.HARDWARE_OR_NONDETERMINISM)
FAULTS = (
    _fault("activation-flips", "one activation of one step is infinite, once", once(ActivationFlipTrainer),
           outcomes=(*BROKEN, Outcome.CRASHED)),
    _fault("weight-flips", "one bit of one weight flips, once", once(WeightFlipTrainer),
           outcomes=(*WORSE, Outcome.CRASHED)),
)  # fmt: skip
