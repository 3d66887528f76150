"""What a check found: which rule, how bad, which rows, and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stabsearch.errors import ExitCode, KeyPath
from stabsearch.records import Cause


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    """It certainly breaks, or silently trains the wrong thing."""
    WARNING = "warning"
    """It often goes wrong; someone should look."""
    INFO = "info"
    """Worth knowing."""


_WEIGHTS = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


@dataclass(frozen=True)
class Finding:
    """One thing that a check found."""

    rule: str
    """Stable id of the rule, such as ``STAB-D001``; ``docs/rules.md`` lists them all."""
    severity: Severity
    message: str
    """What was seen, one line."""
    hint: str
    """The way out, one line."""
    cause: Cause
    rows: tuple[int, ...] = ()
    """The first offending rows of the training data, counted from 0; ten at most."""
    num_rows: int = 0
    """How many rows offend."""
    key: KeyPath = ()
    """Where in the sweep the matter can be put right; empty when there is no such place."""

    @property
    def is_error(self) -> bool:
        """Return whether a run must not start like this."""
        return self.severity is Severity.ERROR

    @property
    def is_environment(self) -> bool:
        """Return whether the machine is at fault, which says nothing about data or model."""
        return self.rule.startswith("STAB-E")

    @property
    def is_fault(self) -> bool:
        """Return whether data, model or settings certainly break training, or train the wrong thing."""
        return self.is_error and not self.is_environment

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "message": self.message,
            "hint": self.hint,
            "cause": self.cause.value,
            "rows": list(self.rows),
            "num_rows": self.num_rows,
            "key": list(self.key),
        }


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with the worst first, within a severity by rule id, the machine's last."""
    return sorted(findings, key=lambda found: (_WEIGHTS[found.severity], found.is_environment, found.rule))


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """Return what findings come to: a fault of data, model or settings is a verdict, the machine's is not."""
    errors = [found for found in findings if found.is_error]
    if any(found.is_fault for found in errors):
        return ExitCode.AGAINST
    return ExitCode.CANNOT_JUDGE if errors else ExitCode.ANSWER
