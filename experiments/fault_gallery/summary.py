"""The gallery's numbers: shares with their counts and intervals; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

from experiments.fault_gallery.cell import Result
from stabsearch.records import Cause, Outcome

NONE = "none"
"""Stands in tables for no cause: nothing is wrong."""
CANNOT_REPLAY = Cause.HARDWARE_OR_NONDETERMINISM.value
"""What happened once on a broken machine does not happen again, and a replay that says so is right."""


@dataclass(frozen=True)
class Share:
    """How many of how many."""

    hits: int
    count: int

    @classmethod
    def of(cls, facts: Iterable[bool]) -> Share:
        """Return the share of facts that are true."""
        listed = list(facts)
        return cls(sum(listed), len(listed))

    @property
    def interval(self) -> tuple[float, float]:
        """Return the exact 95 % interval of the probability behind it (Clopper and Pearson 1934)."""
        found = binomtest(self.hits, self.count).proportion_ci(0.95, method="exact")
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        if not self.count:
            return "–"
        low, high = self.interval
        return f"{self.hits}/{self.count} = {self.hits / self.count:.1%} [{low:.1%}, {high:.1%}]"


def is_right(result: Result) -> bool:
    """Return whether the planted cause was named."""
    return result.named == result.planted


def is_right_unaided(result: Result) -> bool:
    """Return whether the planted cause was named without a preflight."""
    return result.unaided == result.planted


def finds_rows(result: Result) -> bool:
    """Return whether every planted row was named."""
    return set(result.planted_rows) <= set(result.named_rows)


def finds_only_rows(result: Result) -> bool:
    """Return whether the planted rows were named, and no other."""
    return set(result.planted_rows) == set(result.named_rows)


def bundle_holds_rows(result: Result) -> bool:
    """Return whether the kept step has all planted rows in it."""
    return result.bundle_rows is not None and set(result.planted_rows) <= set(result.bundle_rows)


def is_bit_exact(result: Result) -> bool:
    """Return whether the bundle gave the same bits in another process."""
    return result.replay == "bit-exact"


def is_false_alarm(result: Result) -> bool:
    """Return whether a healthy control was blamed: a cause, or a finding of severity error."""
    return result.planted is None and (result.named is not None or bool(result.errors))


def of_faults(results: Iterable[Result]) -> list[Result]:
    """Return the cells with a planted fault."""
    return [result for result in results if result.planted is not None]


def of_controls(results: Iterable[Result]) -> list[Result]:
    """Return the cells of healthy controls."""
    return [result for result in results if result.planted is None]


def of_rows(results: Iterable[Result]) -> list[Result]:
    """Return the cells whose fault was planted in rows."""
    return [result for result in results if result.planted_rows]


def of_failed(results: Iterable[Result]) -> list[Result]:
    """Return the cells whose trial failed: where it did not, there is no bad batch to keep."""
    return [result for result in results if result.outcome != Outcome.STABLE]


def replayable(results: Iterable[Result]) -> list[Result]:
    """Return the cells with a bundle whose failure can happen again."""
    return [result for result in results if result.replay is not None and result.planted != CANNOT_REPLAY]


def whole_faults(results: Sequence[Result], holds: Callable[[Result], bool]) -> Share:
    """Return for how many faults something holds in every cell: seeds of one fault are much alike."""
    by_fault = {result.fault: True for result in results}
    for result in results:
        by_fault[result.fault] &= holds(result)
    return Share.of(by_fault.values())


def confusion(results: Iterable[Result], named: Callable[[Result], str | None]) -> dict[tuple[str, str], int]:
    """Return counts of cells by planted and named cause."""
    return dict(Counter((result.planted or NONE, named(result) or NONE) for result in results))
