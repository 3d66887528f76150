"""A digest of a model's weights: cheap, on their own device, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch.nn import Module

WORD = 8
"""Bytes that are summed as one integer: as wide as processors and GPUs add fast."""
WIDTH = 1024
"""Words of a row of the table that a tensor is laid out in."""
FACTOR = 2_654_435_761  # Knuth's multiplicative hash: neighbouring places weigh very differently


def weights_digest(model: Module) -> str:
    """Return 16 hexadecimal digits that stand for all parameters and buffers, with names, shapes and dtypes.

    Not a cryptographic hash of the values: sums of their bits, weighted by place. One transfer from the
    device, no copy of the weights.
    """
    return tensors_digest(model.state_dict())


def tensors_digest(tensors: Mapping[str, object]) -> str:
    """Return the digest of named tensors; what is no tensor does not count."""
    named = {name: value for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    names = [f"{name} {value.dtype} {tuple(value.shape)}" for name, value in named.items()]
    sums = [weighted for value in named.values() for weighted in _sums_if_plain(value.detach())]
    said = hashlib.sha256("\n".join(names).encode())
    if sums:
        device = sums[0].device
        said.update(torch.stack([each.to(device) for each in sums]).cpu().numpy().tobytes())
    return said.hexdigest()[:16]


def _sums_if_plain(value: torch.Tensor) -> list[torch.Tensor]:
    """Return the sums; none of a tensor without plain bits: sparse, or of a library's own kind."""
    try:
        return _sums(value)
    except (RuntimeError, NotImplementedError):
        return []


def _sums(value: torch.Tensor) -> list[torch.Tensor]:
    """Return sums over rows and over columns of the tensor's bits, each weighted by place."""
    if not value.numel() or value.is_meta:
        return []
    flat = value.contiguous().reshape(-1)
    if flat.storage_offset() * flat.element_size() % WORD:
        flat = flat.clone()
    bytes_T = flat.view(torch.uint8)
    whole = len(bytes_T) // (WORD * WIDTH) * WORD * WIDTH
    table = bytes_T[:whole].view(torch.int64).reshape(-1, WIDTH)
    parts = (table.sum(0), table.sum(1), bytes_T[whole:].long())
    return [_weighted(part) for part in parts if len(part)]


def _weighted(sums: torch.Tensor) -> torch.Tensor:
    places = torch.arange(1, len(sums) + 1, device=sums.device) * FACTOR
    return (sums * (places ^ (places >> 15))).sum()
