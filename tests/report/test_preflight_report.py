"""Findings of a preflight on a terminal and in plain lines."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from stabsearch.forensics.finding import Finding, Severity
from stabsearch.records import Cause
from stabsearch.report import preflight
from stabsearch.report.preflight import print_findings, verdict_line

LONG = "the model ignores num_items_in_batch: loss and gradients are 4 times too large for what they are"
FOUND = [
    Finding(
        "STAB-D011", Severity.ERROR, "3 rows hold -1", "relabel them", Cause.DATA, tuple(range(10)), 3_000
    ),
    Finding("STAB-M007", Severity.WARNING, LONG, LONG, Cause.OPTIMIZER_SETTINGS),
    Finding("STAB-D023", Severity.INFO, "two classes\x1b[31m have no row", "look", Cause.DATA),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_of_80_columns_is_filled_and_not_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grouped by severity, the rows below what was seen, control characters removed."""

    def narrow(file: Any, **_: Any) -> Console:
        return Console(file=file, width=80, force_terminal=True, color_system=None, highlight=False)

    monkeypatch.setattr(preflight, "Console", narrow)
    stream = Terminal()
    print_findings(FOUND, stream)
    text = stream.getvalue()
    assert 70 < max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert text.index("Errors") < text.index("Warnings") < text.index("Worth knowing")
    assert "0, 1, 2, 3, 4, 5, 6, 7, …" in text
    assert "\x1b[31m" not in text


def test_a_file_gets_one_fact_per_line() -> None:
    """Easy to search, no colours."""
    stream = io.StringIO()
    print_findings(FOUND, stream)
    assert stream.getvalue().splitlines() == [
        "error: STAB-D011: 3 rows hold -1",
        "  rows: 0, 1, 2, 3, 4, 5, 6, 7, …",
        "  fix: relabel them",
        f"warning: STAB-M007: {LONG}",
        f"  fix: {LONG}",
        "info: STAB-D023: two classes[31m have no row",
        "  fix: look",
    ]


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (FOUND, "✗ do not start: 1 error, 1 warning, 5 rows looked at"),
        (FOUND[1:], "◐ can start: 1 warning, 5 rows looked at"),
        (FOUND[2:], "✓ nothing speaks against starting: 5 rows looked at"),
    ],
)
def test_the_verdict_is_one_line(found: list[Finding], line: str) -> None:
    """Errors stop, warnings do not."""
    assert verdict_line(found, 5) == line
