"""How the training goes through its rows: what the rules need of the TrainingArguments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunFacts:
    """Batches, accumulation and precisions of a run."""

    batch_size: int = 8
    """Rows per micro-batch."""
    accumulation: int = 1
    """Micro-batches per optimizer step."""
    max_steps: int = 0
    """Optimizer steps; 0: given by the epochs."""
    epochs: float = 3.0
    is_in_order: bool = False
    """Batches are consecutive rows; otherwise rows are drawn at random."""
    drops_last: bool = False
    """A last batch of fewer rows is left out."""
    precisions: tuple[str, ...] = ("fp32",)
    """Precisions that will be trained in."""

    def batches(self, num_rows: int) -> float:
        """Return how many micro-batches the run has."""
        if self.max_steps > 0:
            return float(self.max_steps * self.accumulation)
        return self.epochs * math.ceil(num_rows / self.batch_size)


def run_facts(args: Any, precisions: tuple[str, ...]) -> RunFacts:
    """Return how a run with these TrainingArguments goes through its rows."""
    return RunFacts(
        batch_size=args.train_batch_size,
        accumulation=args.gradient_accumulation_steps,
        max_steps=max(0, args.max_steps),
        epochs=float(args.num_train_epochs),
        is_in_order=getattr(args, "train_sampling_strategy", "random") == "sequential",
        drops_last=bool(args.dataloader_drop_last),
        precisions=precisions,
    )
