"""The seam between a trial and what it trains."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from transformers import PreTrainedModel, Trainer, TrainingArguments


class Workload(Protocol):
    """Model, data and collator of one task; every trial gets its own pristine model from it."""

    @property
    def num_rows(self) -> int:
        """Return how many rows are trained on; 0 for a stream, which nobody can count."""
        ...

    @property
    def chance_loss(self) -> float:
        """Return the loss of the trivial predictor of the label marginals, nats per example; NaN: unknown."""
        ...

    def model(self, model_seed: int) -> PreTrainedModel:
        """Return a fresh float32 model whose new weights come from ``model_seed`` alone."""
        ...

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        """Return a Trainer on a fresh model and the shared rows, not yet started."""
        ...


def surroundings_of(workload: Workload) -> AbstractContextManager[None]:
    """Return what the process has to look like while Trainers of a workload are at work.

    Most workloads do not care; one of the user's own code has a method ``surroundings`` for it.
    """
    entered: AbstractContextManager[None] = getattr(workload, "surroundings", nullcontext)()
    return entered


def eval_dataset_of(workload: Workload, trainer: Trainer) -> Any:
    """Return the rows that a Trainer of a workload is evaluated on at its horizon; None: on none.

    A workload that has any has a method ``eval_dataset`` for it.
    """
    made = getattr(workload, "eval_dataset", None)
    return made(trainer) if made is not None else None
