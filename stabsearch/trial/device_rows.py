"""Small rows of numbers on their way from a device to the host, which does not wait for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

ROOM = (
    64  # chosen: times the first copy, one update's numbers; asking for such memory can wait for the device
)


class Sent(Protocol):
    """Numbers that are on their way."""

    def has_arrived(self) -> bool:
        """Return whether they can be read without waiting."""

    def values(self) -> list[float]:
        """Return them, waiting for them if need be."""


class DeviceRows:
    """Hands rows to the host in the order in which they were added, several in one copy.

    One copy at most is under way; what is added meanwhile goes with the next.

    Args:
        send: starts a copy to the host.
        every: how many rows it takes to start one.
    """

    def __init__(self, send: Callable[[torch.Tensor], Sent], every: int) -> None:
        self._send, self._every = send, every
        self._waiting: list[torch.Tensor] = []
        self._sent: Sent | None = None
        self._sizes: list[int] = []

    def add(self, row: torch.Tensor) -> None:
        """Take a row, one axis."""
        self._waiting.append(row)

    def arrived(self) -> list[list[float]]:
        """Return the rows that have come, without waiting, and send those on that are enough for a copy."""
        rows = self._landed() if self._sent is None or self._sent.has_arrived() else []
        if self._sent is None and len(self._waiting) >= self._every:
            self._depart()
            rows += self._landed() if self._sent is None or self._sent.has_arrived() else []
        return rows

    def all(self) -> list[list[float]]:
        """Return all rows that have not been returned yet; the only call here that waits."""
        rows = self._landed()
        if self._waiting:
            self._depart()
        return rows + self._landed()

    def drop(self) -> None:
        """Forget what has not been returned yet."""
        self._landed()  # a copy that is under way still writes
        self._waiting.clear()

    def _depart(self) -> None:
        self._sizes = [row.numel() for row in self._waiting]
        self._sent = self._send(torch.cat(self._waiting))
        self._waiting.clear()

    def _landed(self) -> list[list[float]]:
        if self._sent is None:
            return []
        values, self._sent = iter(self._sent.values()), None
        return [[next(values) for _ in range(size)] for size in self._sizes]


def sender(device: torch.device) -> Callable[[torch.Tensor], Sent]:
    """Return what copies from this device to the host, as far as the device goes without waiting."""
    return _ToPinned(device) if device.type == "cuda" else _Here


class _Here:
    """Numbers that the host computed itself."""

    def __init__(self, numbers: torch.Tensor) -> None:
        self._numbers = numbers

    def has_arrived(self) -> bool:
        return True

    def values(self) -> list[float]:
        values: list[float] = self._numbers.tolist()
        return values


class _ToPinned:
    """Copies into page-locked memory, where the device writes by itself, and marks its end in the stream."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._mark: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._host = torch.empty(0)
        self._size = 0

    def __call__(self, numbers: torch.Tensor) -> _ToPinned:
        self._size = numbers.numel()
        if self._size > self._host.numel() or numbers.dtype != self._host.dtype:
            self._host = torch.empty(ROOM * self._size, dtype=numbers.dtype, pin_memory=True)
        self._host[: self._size].copy_(numbers, non_blocking=True)
        self._mark.record(torch.cuda.current_stream(self._device))
        return self

    def has_arrived(self) -> bool:
        return bool(self._mark.query())

    def values(self) -> list[float]:
        self._mark.synchronize()
        values: list[float] = self._host[: self._size].tolist()
        return values
