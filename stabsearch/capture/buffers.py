"""Buffers that a model's forward changes, such as the running statistics of a batch norm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch.nn.modules.batchnorm import _NormBase


class ChangingBuffers:
    """Keeps copies of the buffers that change, from before each forward.

    For the first forward all are copied; later ones cost what really changes, which for most models
    is nothing. torch counts how often a tensor was written to, but batch norms write past that
    count: theirs are always copied, and all others compared once by value.
    """

    def __init__(self) -> None:
        self._places: list[tuple[str, dict[str, torch.Tensor | None], str]] | None = None
        self._seen: dict[str, tuple[torch.Tensor, int]] = {}
        self._first: dict[str, torch.Tensor] | None = None
        self._changing: set[str] = set()

    def before_forward(self, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Return copies of the buffers that this forward may change."""
        if self._places is None:
            self._places = list(_places(model))
            self._changing = set(_statistics(model))
            self._seen = {name: (buffer, buffer._version) for name, buffer in self._there()}
            self._first = _copies(self._there())
            return self._first
        self.look_again()
        there = list(self._there())
        self._changing.update(name for name, buffer in there if self._has_moved(name, buffer))
        return _copies((name, buffer) for name, buffer in there if name in self._changing)

    def look_again(self) -> None:
        """Compare by value what the first forward left, once; a device is waited for."""
        if self._first is not None:
            known, self._first = self._first, None
            self._changing.update(
                name for name, buffer in self._there() if not _is_same(known.get(name), buffer)
            )

    def _there(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, held, key in self._places or ():
            buffer = held.get(key)
            if buffer is not None:
                yield name, buffer

    def _has_moved(self, name: str, buffer: torch.Tensor) -> bool:
        known = self._seen.get(name)
        return known is None or known[0] is not buffer or known[1] != buffer._version


def restore_buffers(model: torch.nn.Module, buffers: Mapping[str, torch.Tensor]) -> None:
    """Write buffers back into a model."""
    there = dict(model.named_buffers())
    with torch.no_grad():
        for name, value in buffers.items():
            # written only where it differs: a graph that still waits for its backward may hold the buffer
            if name not in there or _is_same(there[name], value):
                continue
            if there[name].shape == value.shape:
                there[name].copy_(value)
            else:
                there[name].data = value.to(there[name].device, copy=True)


@contextmanager
def buffers_kept(model: torch.nn.Module) -> Iterator[None]:
    """Leave a model's buffers as they were found."""
    before = _copies(model.named_buffers())
    try:
        yield
    finally:
        restore_buffers(model, before)


def _places(model: torch.nn.Module) -> Iterator[tuple[str, dict[str, torch.Tensor | None], str]]:
    for name, module in model.named_modules():
        for key in module._buffers:
            yield f"{name}.{key}" if name else key, module._buffers, key


def _statistics(model: torch.nn.Module) -> Iterator[str]:
    """Return the names of the buffers of batch norms, whose kernels write past the version count."""
    for name, module in model.named_modules():
        if isinstance(module, _NormBase):
            yield from (f"{name}.{key}" if name else key for key in module._buffers)


def _copies(buffers: Iterator[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: buffer.detach().clone() for name, buffer in buffers}


def _is_same(left: torch.Tensor | None, right: torch.Tensor) -> bool:
    if left is None or left.shape != right.shape or left.dtype != right.dtype:
        return False
    return torch.equal(left, right.to(left.device))
