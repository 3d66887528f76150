"""Gradient accumulation: is a micro-batch's loss its share of the step's loss, or a mean of its own?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.capture.buffers import buffers_kept

if TYPE_CHECKING:
    from transformers import Trainer


class LossReference:
    """Measures the loss per example beside the training, until both can be told apart.

    Transformers 5.23 leaves the division by ``gradient_accumulation_steps`` to any model whose
    forward takes keyword arguments, and BERT's and Llama's classification heads do not divide
    (huggingface/transformers issue 47688): what is back-propagated is then that many times the
    loss per example. Training is left as it is; what is recorded and judged is divided.

    Args:
        trainer: the Trainer whose ``compute_loss`` is asked; its weights, buffers and random
            numbers stay untouched.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._means: list[float] = []
        self._verdict: bool | None = None if trainer.args.gradient_accumulation_steps > 1 else False

    def measure(self, model: torch.nn.Module, inputs: Mapping[str, Any]) -> None:
        """Take the mean loss of a micro-batch, before it is trained on."""
        if self._verdict is None:
            self._means.append(self._mean_loss(model, inputs))

    def says_means(self, window: Sequence[float]) -> bool:
        """Return whether the losses of a step's micro-batches are means, and must be averaged.

        Args:
            window: losses of the measured micro-batches, as they were back-propagated.
        """
        if self._verdict is None and len(window) > 1:
            ratio = sum(window) / total if (total := sum(self._means)) else math.nan
            # shares add up to the mean loss, 1/n of the sum of n means; halfway on a log scale
            self._verdict = ratio > 1 / math.sqrt(len(window))
        self._means.clear()
        return bool(self._verdict)

    def _mean_loss(self, model: torch.nn.Module, inputs: Mapping[str, Any]) -> float:
        was_training = model.training
        model.eval()  # no dropout
        devices = [self._trainer.args.device] if self._trainer.args.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices=devices), buffers_kept(model):
            loss = self._trainer.compute_loss(model, self._trainer._prepare_inputs(dict(inputs)))
        model.train(was_training)
        return float(loss)
