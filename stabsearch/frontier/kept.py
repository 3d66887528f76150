"""What was found out about things that do not change, kept for as long as they are there."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

Thing = TypeVar("Thing")
Found = TypeVar("Found")
_FEW = 4  # chosen: after a trial, one or two things are new; of a study that was just read, all are


class Kept(Generic[Thing, Found]):
    """Finds out something about each thing once; things are told apart by identity, not by value.

    A record of a trial holds hundreds of numbers: to compare, or to hash, thousands of them after every
    trial takes longer than everything else that a sweep does.

    >>> lengths = Kept(len)
    >>> numbers = frozenset({1, 2, 3})
    >>> lengths(numbers), lengths.of([numbers, numbers])
    (3, [3, 3])
    """

    def __init__(self, find_out: Callable[[Thing], Found]) -> None:
        self._find_out = find_out
        self._found: dict[int, Found] = {}
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __call__(self, thing: Thing) -> Found:
        """Return what is known of a thing."""
        return self.of((thing,))[0]

    def of(self, things: Sequence[Thing]) -> list[Found]:
        """Return what is known of each thing, in their order."""
        found, ids = self._found, list(map(id, things))
        for _ in range(_FEW):
            try:
                return list(map(found.__getitem__, ids))
            except KeyError as missing:
                self._look_at(things[ids.index(missing.args[0])])
        for thing, key in zip(things, ids, strict=True):
            if key not in found:
                self._look_at(thing)
        return list(map(found.__getitem__, ids))

    def _look_at(self, thing: Thing) -> None:
        found = self._find_out(thing)
        key = id(thing)
        # an id is free again only once its thing is gone, and then this is told first
        self._alive[key] = weakref.ref(thing, lambda _: self._forget(key))
        self._found[key] = found

    def _forget(self, key: int) -> None:
        self._found.pop(key, None)
        self._alive.pop(key, None)
