"""What a diagnosis says: one cause, the evidence for it, and the way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stabsearch.errors import ExitCode
from stabsearch.forensics.finding import Finding, Severity
from stabsearch.records import Cause


@dataclass(frozen=True)
class Evidence:
    """One rung of the ladder: what was tried, and what was seen."""

    rung: str
    """``preflight``, ``first batch``, ``trial``, ``replay``, or the name of a cure."""
    tried: str
    seen: str
    is_good: bool | None = None
    """Whether it came out well; None where that is no question."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"rung": self.rung, "tried": self.tried, "seen": self.seen, "is_good": self.is_good}


@dataclass(frozen=True)
class Diagnosis:
    """One cause, and what it rests on."""

    cause: Cause | None
    """None: nothing is wrong."""
    sentence: str
    """The verdict in one or two sentences."""
    symptom: str = ""
    """What the user saw, in the words of logs and tracebacks."""
    advice: tuple[str, ...] = ()
    """What to do, most promising first."""
    evidence: tuple[Evidence, ...] = ()
    rows: tuple[int, ...] = ()
    """Rows of the training data that are to blame, from 0."""
    findings: tuple[Finding, ...] = ()
    """What the preflight found, the worst first."""
    bundle: str = ""
    """Folder of the bad batch, for ``stabsearch replay``; empty when none is kept."""
    replay: Mapping[str, Any] | None = None
    """Where the first non-finite number came from, as ``Localisation.to_json`` says it."""

    @property
    def exit_code(self) -> ExitCode:
        """Return 0 when nothing is wrong, 1 for a named cause, 2 when none could be named."""
        if self.cause is None:
            return ExitCode.ANSWER
        return ExitCode.CANNOT_JUDGE if self.cause is Cause.UNKNOWN else ExitCode.AGAINST

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Return what the preflight calls certain to break."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    def to_json(self) -> dict[str, Any]:
        """Return strict JSON data."""
        return {
            "cause": self.cause.value if self.cause else None,
            "sentence": self.sentence,
            "symptom": self.symptom,
            "advice": list(self.advice),
            "evidence": [each.to_json() for each in self.evidence],
            "rows": list(self.rows),
            "findings": [finding.to_json() for finding in self.findings],
            "bundle": self.bundle or None,
            "origin": dict(self.replay) if self.replay else None,
            "exit_code": int(self.exit_code),
        }
