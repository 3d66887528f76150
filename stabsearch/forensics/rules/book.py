"""How a rule is written down, and how a book of rules is applied to one kind of facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from stabsearch.errors import KeyPath
from stabsearch.forensics.finding import Finding, Severity
from stabsearch.records import Cause

MOST_ROWS = 10
"""Row numbers that a finding names."""

Facts = TypeVar("Facts")


@dataclass(frozen=True)
class Rule:
    """What is looked for, and what is said when it is found."""

    id: str
    """Stable: an id is never given to another rule."""
    title: str
    severity: Severity
    """As a rule; a check may say less, or more, of what it saw."""
    cause: Cause
    symptom: str
    """What a user sees when nobody checks: the message or the numbers, as they are pasted into a search."""
    fix: str
    """The way out, one line."""
    key: KeyPath = ()
    """Where in a sweep it is put right."""


@dataclass(frozen=True)
class Seen:
    """What a check saw."""

    message: str
    rows: tuple[int, ...] = ()
    num_rows: int = 0
    fix: str = ""
    """A way out that knows more than the rule's."""
    severity: Severity | None = None
    """Other than the rule's."""
    key: KeyPath = ()
    """Where it is put right, more exactly than the rule knows."""


def seen_in(
    rows_N: NDArray[np.bool_],
    message: str,
    fix: str = "",
    severity: Severity | None = None,
    key: KeyPath = (),
) -> Seen:
    """Return what was seen in the rows that a mask marks.

    Args:
        rows_N: True for each offending row.
        message: ``{num}`` and ``{of}`` stand for how many rows offend, and of how many.
        fix: a way out that knows more than the rule's.
        severity: other than the rule's.
        key: more exact than the rule's.
    """
    places = np.flatnonzero(rows_N)
    # not str.format(): names of columns and values that are quoted may hold braces
    text = message.replace("{num}", f"{len(places):,}").replace("{of}", f"{len(rows_N):,}")
    return Seen(text, tuple(map(int, places[:MOST_ROWS])), len(places), fix, severity, key)


Check = Callable[[Facts], Seen | None]
"""Facts -> what was seen of a rule, or None."""


class RuleBook(Generic[Facts]):
    """Rules that look at one kind of facts, in the order they were written."""

    def __init__(self) -> None:
        self._checks: list[tuple[Rule, Check[Facts]]] = []

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Return the rules."""
        return tuple(rule for rule, _ in self._checks)

    def __getitem__(self, id: str) -> Rule:
        """Return the rule of an id."""
        return next(rule for rule in self.rules if rule.id == id)

    def rule(
        self,
        id: str,
        title: str,
        severity: Severity,
        cause: Cause,
        *,
        symptom: str,
        fix: str,
        key: KeyPath = (),
    ) -> Callable[[Check[Facts]], Check[Facts]]:
        """Return a decorator that enters a check under a new rule."""
        return self.enter(Rule(id, title, severity, cause, symptom, fix, key))

    def enter(self, rule: Rule) -> Callable[[Check[Facts]], Check[Facts]]:
        """Return a decorator that enters a check; one rule may look at facts of several kinds."""

        def entered(check: Check[Facts]) -> Check[Facts]:
            self._checks.append((rule, check))
            return check

        return entered

    def findings(self, facts: Facts) -> list[Finding]:
        """Return what the rules say of these facts."""
        said = ((rule, check(facts)) for rule, check in self._checks)
        return [_finding(rule, seen) for rule, seen in said if seen is not None]


def _finding(rule: Rule, seen: Seen) -> Finding:
    return Finding(
        rule.id, seen.severity or rule.severity, seen.message, seen.fix or rule.fix, rule.cause,
        seen.rows, seen.num_rows, seen.key or rule.key,
    )  # fmt: skip
