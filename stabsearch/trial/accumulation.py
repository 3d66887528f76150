"""Gradient accumulation: is a micro-batch's loss its share of the step's loss, or a mean of its own?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.capture.buffers import buffers_kept
from stabsearch.trial.ranks import Ranks

if TYPE_CHECKING:
    from transformers import Trainer


COUNTS = (7, 14)
"""Two numbers of labels, neither of which has to be the true one."""


class LossReference:
    """Measures the loss per example beside the training, until both can be told apart.

    Transformers 5.23 leaves the division by ``gradient_accumulation_steps`` to any model whose
    forward takes keyword arguments, and BERT's and Llama's classification heads do not divide
    (huggingface/transformers issue 47688): what is back-propagated is then that many times the
    loss per example. With several processes it is once more that many times it, by the same mistake.
    Training is left as it is, unless it is to be mended; what is recorded and judged is divided.

    Args:
        trainer: the Trainer whose ``compute_loss`` is asked; its weights, buffers and random
            numbers stay untouched.
        ranks: the processes that train together; all of them measure, and come to the same.
        mends: have the Trainer divide where the loss goes by no count, before it trains on the first
            micro-batch.
    """

    def __init__(self, trainer: Trainer, ranks: Ranks = Ranks(), *, mends: bool = False) -> None:  # noqa: B008 - frozen
        self._trainer = trainer
        self._mends = mends
        self.is_mended = False
        """True when the Trainer was told to divide."""
        self._ranks = ranks
        self._means: list[float] = []
        self._accumulates = trainer.args.gradient_accumulation_steps > 1
        self._verdict: bool | None = None if self._accumulates or self._ranks.number > 1 else False
        self.multiple = 1
        """How many times what it should be each loss is, beside that: once, or once per process."""

    @property
    def is_measuring(self) -> bool:
        """Return whether the losses cannot be told apart yet."""
        return self._verdict is None

    def measure(self, model: torch.nn.Module, inputs: Mapping[str, Any]) -> None:
        """Take the mean loss of a micro-batch, before it is trained on."""
        if self.is_measuring:
            self._mend(model, inputs)
            self._means.append(self._ranks.agreed_loss(self._mean_loss(model, inputs))[0])

    def says_means(self, window: Sequence[float]) -> bool:
        """Return whether the losses of a step's micro-batches are means, and must be averaged.

        Args:
            window: losses of the measured micro-batches, as they were back-propagated.
        """
        if self._verdict is None and (len(window) > 1 or not self._accumulates):
            ratio = sum(window) / total if (total := sum(self._means)) else math.nan
            # shares add up to the mean loss, 1/n of the sum of n means; halfway on a log scale
            self._verdict = self._accumulates and ratio > 1 / math.sqrt(len(window))
            self.multiple = self._ranks.number if ratio > math.sqrt(self._ranks.number) else 1
        self._means.clear()
        return bool(self._verdict)

    def _mend(self, model: torch.nn.Module, inputs: Mapping[str, Any]) -> None:
        """Have the Trainer divide where it leaves that to a loss that does not, once."""
        trainer: Any = self._trainer
        if not self._mends:
            return
        self._mends = False
        is_left = trainer.model_accepts_loss_kwargs or trainer.compute_loss_func is not None
        if is_left and trainer.loss_is_scaled_for_ga is None and self._all_ignore(model, inputs):
            trainer.loss_is_scaled_for_ga = False
            trainer.args.average_tokens_across_devices = False  # which multiplies by the processes
            self.is_mended = True

    def _all_ignore(self, model: torch.nn.Module, inputs: Mapping[str, Any]) -> bool:
        """Return whether no process's loss goes by the count; a batch without any label cannot tell."""
        (goes_by_it,) = self._ranks.worst(float(not self._ignores(model, inputs)))
        return not goes_by_it

    def _ignores(self, model: torch.nn.Module, inputs: Mapping[str, Any]) -> bool:
        """Return whether the loss is the same for any number of labels in the step."""
        device = self._trainer.args.device
        one, other = (self._mean_loss(model, inputs, torch.tensor(n, device=device)) for n in COUNTS)
        return math.isclose(one, other, rel_tol=1e-6)

    def _mean_loss(self, model: torch.nn.Module, inputs: Mapping[str, Any], num_items: Any = None) -> float:
        was_training = model.training
        model.eval()  # no dropout
        devices = [self._trainer.args.device] if self._trainer.args.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices=devices), buffers_kept(model):
            prepared = self._trainer._prepare_inputs(dict(inputs))
            counted = {} if num_items is None else {"num_items_in_batch": num_items}
            loss = self._trainer.compute_loss(model, prepared, **counted)
        model.train(was_training)
        return float(loss)
