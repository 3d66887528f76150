"""How far a trial is that still runs: for the eyes only, never kept."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

_FORM = struct.Struct("!qqdd")


@dataclass(frozen=True)
class Progress:
    """The latest optimizer step of a running trial."""

    number: int
    """Of the trial."""
    step: int
    """1-based optimizer step whose numbers came last."""
    loss: float
    """Raw loss of that step; NaN or infinite where it broke."""
    learning_rate: float
    """That the step was taken with; NaN when it broke before any."""

    def to_bytes(self) -> bytes:
        """Return the same in 32 bytes.

        >>> Progress.from_bytes(Progress(3, 40, 2.5, 1e-3).to_bytes())
        Progress(number=3, step=40, loss=2.5, learning_rate=0.001)
        """
        return _FORM.pack(self.number, self.step, self.loss, self.learning_rate)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return what ``to_bytes`` was given."""
        return cls(*_FORM.unpack(data))
