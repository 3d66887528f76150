"""What trials showed, reduced to counts per intensity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple


class Result(IntEnum):
    """How a trial ended, as far as stability goes."""

    FAILED = 0
    """Broke because of its hyperparameters."""
    SURVIVED = 1
    """Reached its horizon; whether it trained well is not known."""
    CLEAN = 2
    """Reached its horizon and trained well."""
    DEGRADED = 3
    """Reached its horizon, visibly worse than it could have."""


_RESULTS = tuple(Result)


class Observation(NamedTuple):
    """What one trial showed."""

    x: float
    """Intensity, decades."""
    result: Result
    exposure: float = 1.0
    """Share of the horizon's exposure it was seen for; below 1 only for survivors: alive so far."""


@dataclass(frozen=True)
class Tally:
    """What happened at one intensity of one context."""

    x: float
    """Intensity, decades."""
    counts: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Trials that ran to their end, by ``Result``."""
    alive: tuple[float, ...] = ()
    """Exposure, above 0 and below 1, of each trial that was stopped alive; ascending."""

    @property
    def failed(self) -> int:
        """Return how many trials failed."""
        return self.counts[Result.FAILED]

    @property
    def survived(self) -> int:
        """Return how many trials reached their horizon, whatever their grade."""
        return sum(self.counts) - self.failed

    @property
    def num_trials(self) -> int:
        """Return how many trials ran to their end."""
        return sum(self.counts)


Evidence = tuple[Tally, ...]


class _Tallies(tuple[Tally, ...]):
    """Evidence that knows its hash: hundreds of tallies are looked up after every trial."""

    def __hash__(self) -> int:
        known: int | None = self.__dict__.get("hash")
        if known is None:
            known = self.__dict__["hash"] = super().__hash__()
        return known


def tallied(observations: Iterable[Observation]) -> Evidence:
    """Return one tally per distinct intensity, ascending; the order of the trials leaves no trace.

    >>> one, two = tallied([Observation(-3.0, Result.FAILED), Observation(-4.0, Result.SURVIVED)])
    >>> (one.x, one.survived, two.x, two.failed)
    (-4.0, 1, -3.0, 1)
    """
    seen: dict[float, list[Observation]] = {}
    for observation in observations:
        if observation.exposure > 0:
            seen.setdefault(observation.x, []).append(observation)
    return _Tallies(_tally(x, seen[x]) for x in sorted(seen))


def _tally(x: float, observations: list[Observation]) -> Tally:
    ended = [each.result for each in observations if each.exposure >= 1]
    alive = sorted(each.exposure for each in observations if each.exposure < 1)
    failed, survived, clean, degraded = map(ended.count, _RESULTS)
    return Tally(x, (failed, survived, clean, degraded), tuple(alive))


def ungraded(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Return the evidence with every survivor counted alike, whatever its grade."""
    return [_ungraded(tallies) for tallies in evidence]


@lru_cache(maxsize=1024)
def _ungraded(tallies: Evidence) -> Evidence:
    return _Tallies(replace(tally, counts=(tally.failed, tally.survived, 0, 0)) for tally in tallies)


def is_graded(evidence: Iterable[Evidence]) -> bool:
    """Return whether any survivor was called degraded."""
    return any(map(_has_degraded, evidence))


@lru_cache(maxsize=1024)
def _has_degraded(tallies: Evidence) -> bool:
    return any(tally.counts[Result.DEGRADED] for tally in tallies)


def settled(evidence: Sequence[Evidence]) -> Sequence[Evidence]:
    """Return the evidence as it is, or ungraded where nobody was degraded.

    Whoever tells survivors from failures only calls every survivor clean: that says no more than
    that it survived.
    """
    return evidence if is_graded(evidence) else ungraded(evidence)
