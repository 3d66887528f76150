"""A step that one of several processes runs by itself, without waiting for the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

if TYPE_CHECKING:
    from transformers import Trainer


def model_alone(trainer: Trainer) -> torch.nn.Module:
    """Return the model as it is trained, out of what averages its gradients over several processes."""
    wrapped: torch.nn.Module = trainer.model_wrapped
    if trainer.accelerator.num_processes == 1:
        return wrapped
    inner: torch.nn.Module = trainer.accelerator.unwrap_model(wrapped, keep_torch_compile=False)
    return inner


@contextmanager
def alone(trainer: Trainer, model: torch.nn.Module) -> Iterator[None]:
    """Make this process the only one: what gathers or averages inside gets its own numbers back.

    Args:
        trainer: one of several that train together; of a lone one nothing changes.
        model: whole, not a part of it, and not wrapped.
    """
    if trainer.accelerator.num_processes == 1:
        yield
        return
    with ExitStack() as around:
        for state in (PartialState._shared_state, AcceleratorState._shared_state):
            around.enter_context(_set(state, num_processes=1, distributed_type=DistributedType.NO))
        around.enter_context(_own_leaves(model))
        yield


@contextmanager
def _set(state: dict[str, Any], **values: Any) -> Iterator[None]:
    before = {name: state[name] for name in values}
    state.update(values)
    try:
        yield
    finally:
        state.update(before)


@contextmanager
def _own_leaves(model: torch.nn.Module) -> Iterator[None]:
    """Give the model other leaves in the same memory: DDP listens at the old ones, to start averaging."""
    places = [
        (module._parameters, name, weight)
        for module in model.modules()
        for name, weight in module._parameters.items()
        if weight is not None and weight.requires_grad
    ]
    fresh = {id(weight): torch.nn.Parameter(weight.detach()) for *_, weight in places}
    for held, name, weight in places:
        held[name] = fresh[id(weight)]
    try:
        yield
    finally:
        for held, name, weight in places:
            held[name] = weight
