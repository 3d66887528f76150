"""Processor time by what it was spent on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

Result = TypeVar("Result")


class Stopwatch:
    """Charges the processor time of this process to the innermost open section."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        """Processor seconds by section, those of sections within left out."""
        self.calls: Counter[str] = Counter()
        self._open: list[str] = []
        self._since = time.process_time()

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Charge what happens inside to this name."""
        self._charge()
        self._open.append(name)
        self.calls[name] += 1
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def timed(self, name: str, call: Callable[..., Result]) -> Callable[..., Result]:
        """Return the function with what happens inside charged to this name."""

        @wraps(call)
        def inside(*args: Any, **kwargs: Any) -> Result:
            with self.section(name):
                return call(*args, **kwargs)

        return inside

    def _charge(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now
