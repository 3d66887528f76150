"""A micro-batch just before it is trained on: all that its forward depends on but the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

IGNORED = -100
"""Label that losses of Transformers leave out."""


@dataclass(frozen=True)
class RngState:
    """torch's random generators: what dropout draws from."""

    cpu: torch.Tensor
    """State of the CPU generator, bytes."""
    cuda: Mapping[int, torch.Tensor] = field(default_factory=dict)
    """State per CUDA device, empty when CUDA was not in use."""

    @classmethod
    def now(cls) -> RngState:
        """Return the state in force; reads host memory only, so no device is waited for."""
        in_use = torch.cuda.is_available() and bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
        devices = range(torch.cuda.device_count()) if in_use else ()
        return cls(torch.get_rng_state(), {device: torch.cuda.get_rng_state(device) for device in devices})

    def restore(self) -> None:
        """Put the generators back; devices that this machine lacks are left out."""
        torch.set_rng_state(self.cpu)
        for device, state in self.cuda.items():
            if torch.cuda.is_available() and device < torch.cuda.device_count():
                torch.cuda.set_rng_state(state, device)


@contextmanager
def rng_kept() -> Iterator[None]:
    """Leave torch's random generators as they were found."""
    before = RngState.now()
    try:
        yield
    finally:
        before.restore()


@dataclass(frozen=True)
class MicroBatch:
    """One micro-batch of an optimizer step."""

    inputs: Mapping[str, Any]
    """What the collator made, as the model's keyword arguments; empty when it has no names."""
    rng: RngState
    """Random generators before the forward."""
    num_items: Any = None
    """``num_items_in_batch`` that the Trainer passed: labels in the whole step, or None."""
    rows: tuple[int, ...] | None = None
    """Row numbers in the training data, in batch order; None when the data has no row numbers."""
    buffers: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Buffers that a forward changes (running statistics), as they were before it."""
    number: int = 0
    """1-based micro-batch since the start of training."""
    nameless: Any = None
    """What the collator made when that is no mapping, such as a tuple; a bundle cannot hold it."""

    @classmethod
    def of(cls, batch: Any, rng: RngState, **known: Any) -> MicroBatch:
        """Return a micro-batch that holds whatever the collator made."""
        if isinstance(batch, Mapping) or hasattr(batch, "keys"):
            # a shallow copy: label smoothing and custom losses pop the labels out of the dictionary
            return cls(dict(batch), rng, **known)
        return cls({}, rng, nameless=batch, **known)

    def batch(self) -> Any:
        """Return what a training step takes; a mapping is a copy, for steps that pop things out of it."""
        return dict(self.inputs) if self.nameless is None else self.nameless

    @property
    def num_rows(self) -> int:
        """Return how many rows it holds; 0 when its inputs do not say."""
        if self.rows is not None:
            return len(self.rows)
        named = [self.inputs.get(name) for name in ("labels", "input_ids", "attention_mask")]
        sizes = [_length(value) for value in (*named, *self.inputs.values())]
        return next((size for size in sizes if size), 0)

    def only(self, places: list[int]) -> MicroBatch:
        """Return the same micro-batch with some of its rows, by their place in the batch.

        Columns at the end that were padding for the rows left out alone are cut off, as the collator would
        have: a row that is too long must not make the others too long.
        """
        size, index = self.num_rows, torch.tensor(places, dtype=torch.long)
        inputs = {name: _picked(value, size, index) for name, value in self.inputs.items()}
        rows = None if self.rows is None else tuple(self.rows[place] for place in places)
        return replace(self, inputs=_trimmed(inputs, len(places)), rows=rows)


def _length(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return int(value.shape[0]) if value.ndim else 0
    return len(value) if isinstance(value, list | tuple) else 0


def _trimmed(inputs: dict[str, Any], num_rows: int) -> dict[str, Any]:
    """Return the inputs without trailing columns that no row attends to, and that have no label."""
    mask, labels = inputs.get("attention_mask"), inputs.get("labels")
    if not isinstance(mask, torch.Tensor) or mask.ndim != 2:
        return inputs
    used = mask.ne(0)
    if isinstance(labels, torch.Tensor) and labels.shape == mask.shape:
        # a target may be longer than its source, and its columns are no columns of the mask
        used = used | labels.ne(IGNORED)
    columns = used.any(0).nonzero()
    width = int(columns[-1]) + 1 if len(columns) else mask.shape[1]
    return {
        name: value[:, :width]
        if isinstance(value, torch.Tensor) and value.shape[:2] == (num_rows, mask.shape[1])
        else value
        for name, value in inputs.items()
    }


def _picked(value: Any, size: int, index: torch.Tensor) -> Any:
    """Return the rows of one input; what does not have one entry per row is shared by all."""
    if _length(value) != size:
        return value
    if isinstance(value, torch.Tensor):
        return value[index.to(value.device)]
    return [value[place] for place in index.tolist()]
