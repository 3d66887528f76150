"""Which rows of the training data are in a micro-batch: heard from the batch sampler, order untouched."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch.utils.data import IterableDataset
from transformers.trainer_utils import has_length

if TYPE_CHECKING:
    from transformers import Trainer


class RowNumbers:
    """Listens to what the batch sampler of a Trainer's training loader hands out.

    Loaders fetch ahead, but in order, so the first list that was not taken yet belongs to the next
    micro-batch. Data without row numbers (an iterable data set) gives None.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._waiting: deque[tuple[int, ...] | None] = deque()
        self._to_skip = 0
        self._num_batches = 0
        self._original = trainer.get_train_dataloader
        trainer.get_train_dataloader = self._listening_loader

    def release(self) -> None:
        """Stop listening."""
        self._trainer.get_train_dataloader = self._original

    def resumed_at(self, global_step: int) -> None:
        """Take note that training goes on after so many updates: batches of the epoch are passed over."""
        args = self._trainer.args
        if args.ignore_data_skip or not self._num_batches:
            return
        accumulation = args.gradient_accumulation_steps
        updates = max(-(-self._num_batches // accumulation), 1)  # as the Trainer counts an epoch
        self._to_skip = global_step % updates * accumulation

    def take(self) -> tuple[int, ...] | None:
        """Return the rows of the next micro-batch, None where they are not known."""
        while self._to_skip and self._waiting:
            self._waiting.popleft()
            self._to_skip -= 1
        return self._waiting.popleft() if self._waiting else None

    def _listening_loader(self) -> Any:
        loader = self._original()
        inner = loader
        while hasattr(inner, "base_dataloader"):  # Accelerate's shard around torch's own
            inner = inner.base_dataloader
        sampler = getattr(inner, "batch_sampler", None)
        if sampler is not None and not isinstance(getattr(inner, "dataset", None), IterableDataset):
            # past DataLoader.__setattr__, which refuses to exchange a sampler
            inner.__dict__["batch_sampler"] = _Heard(sampler, self._waiting)
            self._num_batches = self._epoch_length(loader)
        return loader

    def _epoch_length(self, loader: Any) -> int:
        """Return the batches of an epoch; to the Trainer, a loader without a length has one epoch."""
        args = self._trainer.args
        return len(loader) if has_length(loader) else args.max_steps * args.gradient_accumulation_steps


def _numbers(batch: Any) -> tuple[int, ...] | None:
    """Return row numbers; a sampler may hand out keys of any other kind."""
    try:
        return tuple(operator.index(row) for row in batch)
    except TypeError:
        return None


class _Heard:
    """A batch sampler that writes down what it hands out."""

    def __init__(self, sampler: Any, heard: deque[tuple[int, ...] | None]) -> None:
        self._sampler, self._heard = sampler, heard

    def __iter__(self) -> Iterator[Any]:
        self._heard.clear()  # an epoch begins: what was fetched ahead and never used is void
        for batch in self._sampler:
            self._heard.append(_numbers(batch))
            yield batch

    def __len__(self) -> int:
        return len(self._sampler)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)
