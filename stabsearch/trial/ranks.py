"""The processes that train one model together, and what they agree on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from accelerate.utils import DistributedType
from torch import distributed

if TYPE_CHECKING:
    from transformers import Trainer

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Ranks:
    """One process among those of a training, each of which trains on rows of its own.

    Whatever stops one of them has to stop all in the same step: one that stopped alone would leave
    the others waiting for its gradients. So each number that decides anything is agreed on first.
    Every method but ``of`` is called by all processes at the same point, or by none.
    """

    number: int = 1
    """How many processes there are."""
    index: int = 0
    """Which of them this is, from 0."""
    device: str | torch.device = "cpu"
    """Where numbers have to lie to travel between them."""
    is_sharded: bool = False
    """Each process holds a part of the weights only (FSDP); otherwise each holds them all (DDP)."""
    counts_items_together: bool = False
    """``num_items_in_batch`` counts the labels of all processes; each loss is multiplied by their number."""

    @classmethod
    def of(cls, trainer: Trainer) -> Ranks:
        """Return this process's place in the training of a Trainer."""
        accelerator = trainer.accelerator
        if accelerator.num_processes == 1:
            return cls()
        speaks_cpu = "cpu:" in distributed.get_backend_config()
        return cls(
            int(accelerator.num_processes),
            int(accelerator.process_index),
            "cpu" if speaks_cpu else accelerator.device,
            accelerator.distributed_type in {DistributedType.FSDP, DistributedType.DEEPSPEED},
            bool(trainer.args.average_tokens_across_devices),
        )

    def items_alone(self, num_items: Any) -> Any:
        """Return what ``num_items_in_batch`` has to be for one process alone to compute the same loss."""
        return num_items / self.number if self.counts_items_together and num_items is not None else num_items

    def agreed_loss(self, loss: float) -> tuple[float, int | None]:
        """Return the mean of the processes' losses; or the first that is not finite, and whose it is.

        With several processes only: whose a lone process's loss is needs no saying.
        """
        if self.number == 1:
            return loss, None
        losses = [value for (value,) in self._of_all(loss)]
        bad = first_bad(losses)
        return (sum(losses) / len(losses), None) if bad is None else (losses[bad], bad)

    def worst(self, *values: float) -> tuple[float, ...]:
        """Return the largest of each value over the processes; one that is not finite counts as larger still.

        Gradients and loss scales are equal in all processes, unless a Trainer of the user's sees to them.
        """
        if self.number == 1:
            return values
        return tuple(_largest(of_one) for of_one in zip(*self._of_all(*values), strict=True))

    def first(self, is_me: bool) -> int:
        """Return the first process for which this is true; 0 when there is none."""
        return next((i for i, (flag,) in enumerate(self._of_all(float(is_me))) if flag), 0)

    def told_by(self, index: int, thing: Thing) -> Thing:
        """Return what one of the processes has to say, in all of them."""
        if self.number == 1:
            return thing
        things: list[Any] = [None] * self.number
        distributed.all_gather_object(things, thing)
        told: Thing = things[index]
        return told

    def _of_all(self, *values: float) -> list[tuple[float, ...]]:
        """Return the values of each process, in order."""
        if self.number == 1:
            return [values]
        own = torch.tensor(values, dtype=torch.float64, device=self.device)
        every = [torch.empty_like(own) for _ in range(self.number)]
        distributed.all_gather(every, own)
        return [tuple(each.tolist()) for each in every]


def first_bad(values: Sequence[float]) -> int | None:
    """Return the place of the first value that is not finite.

    >>> first_bad([1.0, float("nan"), float("inf")])
    1
    """
    return next((place for place, value in enumerate(values) if not math.isfinite(value)), None)


def _largest(values: Sequence[float]) -> float:
    bad = first_bad(values)
    return max(values) if bad is None else values[bad]
