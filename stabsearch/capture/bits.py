"""Numbers and tensors as exact text: for comparing two runs bit by bit."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable

import torch


def bits(value: float) -> str:
    """Return a number as big-endian float32 in hexadecimal; NaNs keep sign and payload.

    >>> bits(1.0), bits(float("inf"))
    ('3f800000', '7f800000')
    """
    try:
        return struct.pack(">f", value).hex()
    except OverflowError:  # a finite double beyond float32
        return struct.pack(">d", value).hex()


def digest(tensors: Iterable[torch.Tensor | None]) -> str:
    """Return sha256 over dtype, shape and bytes of tensors, in order; None counts too."""
    found = hashlib.sha256()
    for tensor in tensors:
        if tensor is None:
            found.update(b"none")
            continue
        plain = tensor.detach().cpu().contiguous()
        found.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
        found.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
