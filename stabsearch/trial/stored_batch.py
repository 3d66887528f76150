"""The micro-batches of a step as plain data and named tensors, with their rows as text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.capture.bits import digest
from stabsearch.capture.manifest import MicroBatchRef
from stabsearch.capture.tree import Node, NotStorable, take_apart

if TYPE_CHECKING:
    from transformers import Trainer

    from stabsearch.capture.micro_batch import MicroBatch, RngState

MAX_TEXT = 300  # characters of a decoded row; chosen: enough to find it again


@dataclass
class StoredBatch:
    """A step's micro-batches, ready to be written."""

    refs: tuple[MicroBatchRef, ...] = ()
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    """What the references name."""
    unstorable: dict[str, str] = field(default_factory=dict)
    """Inputs that are neither tensors nor plain data: name -> type."""


def stored_window(trainer: Trainer, window: Sequence[MicroBatch]) -> StoredBatch:
    """Return the micro-batches of a step; the model's buffers are those from before the first of them."""
    stored, changed = StoredBatch(), _changed_buffers(window)
    stored.refs = tuple(
        _ref(trainer, each, f"micro{place}", changed, stored) for place, each in enumerate(window)
    )
    return stored


def fingerprint(window: Sequence[MicroBatch]) -> str:
    """Return a checksum of the inputs, as far as they can be stored: equal for equal batches."""
    stored, found = StoredBatch(), hashlib.sha256()
    for place, each in enumerate(window):
        nodes = _inputs(each, f"micro{place}", stored)
        found.update(json.dumps([each.rows, nodes, *_nameless(each, place, stored)]).encode())
    found.update(digest(stored.tensors.values()).encode())
    return found.hexdigest()[:16]


def _nameless(micro_batch: MicroBatch, place: int, stored: StoredBatch) -> list[Node]:
    try:
        return [take_apart(micro_batch.nameless, f"micro{place}", stored.tensors)]
    except NotStorable:
        return []


def _changed_buffers(window: Sequence[MicroBatch]) -> set[str]:
    """Return the names of the buffers that changed within the step."""
    first: Mapping[str, torch.Tensor] = window[0].buffers if window else {}
    return {
        name
        for each in window[1:]
        for name, value in each.buffers.items()
        if name not in first or not torch.equal(value, first[name])
    }


def _ref(
    trainer: Trainer, micro_batch: MicroBatch, name: str, changed: set[str], stored: StoredBatch
) -> MicroBatchRef:
    tensors, buffers = stored.tensors, micro_batch.buffers
    rng = _added(_generators(micro_batch.rng), f"{name}.rng", tensors)
    there = _added({key: buffers[key] for key in changed if key in buffers}, f"{name}.buffer", tensors)
    return MicroBatchRef(
        num_items=take_apart(micro_batch.num_items, f"{name}.num_items", tensors),
        inputs={"mapping": _inputs(micro_batch, name, stored)},
        rng=rng,
        buffers=there,
        rows=micro_batch.rows,
        texts=_texts(trainer, micro_batch),
        number=micro_batch.number,
    )


def _generators(rng: RngState) -> dict[str, torch.Tensor]:
    return {"cpu": rng.cpu, **{f"cuda:{device}": state for device, state in rng.cuda.items()}}


def _added(values: Mapping[str, torch.Tensor], name: str, tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    """Add tensors, and return under which name each stands."""
    return {key: str(take_apart(value, f"{name}.{key}", tensors)["tensor"]) for key, value in values.items()}


def _inputs(micro_batch: MicroBatch, name: str, stored: StoredBatch) -> dict[str, Node]:
    inputs: dict[str, Node] = {}
    if micro_batch.nameless is not None:
        stored.unstorable["the whole batch"] = f"{type(micro_batch.nameless).__name__} without names"
    for key, value in micro_batch.inputs.items():
        try:
            inputs[str(key)] = take_apart(value, f"{name}.{key}", stored.tensors)
        except NotStorable as reason:
            stored.unstorable[str(key)] = str(reason).partition(" is a ")[2]
    return inputs


def _texts(trainer: Any, micro_batch: MicroBatch) -> tuple[str, ...] | None:
    """Return the rows as text, as far as the Trainer knows a tokenizer."""
    own = getattr(trainer, "processing_class", None)
    tokenizer = own if own is not None else getattr(trainer.data_collator, "tokenizer", None)
    ids = micro_batch.inputs.get("input_ids")
    if not hasattr(tokenizer, "decode") or not isinstance(ids, torch.Tensor) or ids.ndim != 2:
        return None
    return tuple(_text(tokenizer, row, micro_batch, place) for place, row in enumerate(ids.cpu()))


def _text(tokenizer: Any, row: torch.Tensor, micro_batch: MicroBatch, place: int) -> str:
    mask = micro_batch.inputs.get("attention_mask")
    if isinstance(mask, torch.Tensor) and mask.shape == (micro_batch.num_rows, len(row)):
        row = row[mask[place].cpu() != 0]
    ids = row.tolist()
    if min(ids, default=0) < 0 or max(ids, default=0) >= len(tokenizer):
        return f"token ids {ids}"[:MAX_TEXT]
    return str(tokenizer.decode(ids))[:MAX_TEXT]
