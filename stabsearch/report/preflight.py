"""What the preflight found, on a terminal or in plain lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stabsearch.records import Outcome
from stabsearch.report.wording import SYMBOLS, counted, printable

if TYPE_CHECKING:
    from stabsearch.forensics.finding import Finding
    from stabsearch.records import TrialRecord

HEADINGS = {"error": "Errors", "warning": "Warnings", "info": "Worth knowing"}
STYLES = {"error": "bold red", "warning": "bold yellow", "info": "bold blue"}
SHOWN_ROWS = 8  # chosen: with a label in front they fit a line of 80 columns


def print_findings(findings: Sequence[Finding], stream: TextIO) -> None:
    """Write findings grouped by severity: what was seen, in which rows, and the way out.

    Args:
        findings: the worst first.
        stream: a terminal gets colours (none when NO_COLOR is set), a file plain lines.
    """
    console = Console(file=stream, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        for severity in HEADINGS:
            group = [finding for finding in findings if finding.severity.value == severity]
            if group:
                console.print(_group(severity, group))
    else:
        stream.writelines(f"{line}\n" for finding in findings for line in finding_lines(finding))


def finding_lines(finding: Finding) -> list[str]:
    """Return a finding as plain lines, one fact each, easy to search in a log."""
    lines = [f"{finding.severity.value}: {finding.rule}: {printable(finding.message)}"]
    if finding.rows:
        lines.append(f"  rows: {row_numbers(finding)}")
    return [*lines, f"  fix: {printable(finding.hint)}"]


def row_numbers(finding: Finding) -> str:
    """Return the first rows of a finding.

    >>> from stabsearch.forensics.finding import Finding, Severity
    >>> from stabsearch.records import Cause
    >>> row_numbers(Finding("STAB-D001", Severity.ERROR, "", "", Cause.DATA, rows=(1, 4), num_rows=7))
    '1, 4, …'
    """
    shown = finding.rows[:SHOWN_ROWS]
    more = ", …" if finding.num_rows > len(shown) else ""
    return ", ".join(map(str, shown)) + more


def _group(severity: str, findings: Sequence[Finding]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(finding.rule, _body(finding))
    heading = Text(HEADINGS[severity], style=STYLES[severity])
    return Group(heading, Padding(table, (0, 0, 1, 2)))


def _body(finding: Finding) -> RenderableType:
    parts = [Text(printable(finding.message))]
    if finding.rows:
        parts.append(Text.assemble(("rows ", "dim"), row_numbers(finding)))
    parts.append(Text.assemble(("→ ", "dim"), (printable(finding.hint), "italic")))
    return Group(*parts)


def canary_line(record: TrialRecord, sweep: str) -> str:
    """Return how the conservative baseline went, in one line, and what to do when it did not.

    Args:
        record: of the canary.
        sweep: its file, for the command that says more.
    """
    plan = record.plan
    what = f"canary: {plan.context.label}, learning rate {plan.learning_rate:.2g}, {plan.horizon} steps"
    if record.outcome is Outcome.STABLE:
        return f"{SYMBOLS['good']} {what}: {printable(record.message)}"
    said = f"{SYMBOLS['bad']} {what}: {record.outcome.value}: {printable(record.message)}"
    return f"{said}\n  name the cause: stabsearch diagnose {sweep}"


def verdict_line(findings: Sequence[Finding], num_rows: int) -> str:
    """Return how a check ended, in one line."""
    counts = {name: sum(finding.severity.value == name for finding in findings) for name in HEADINGS}
    said = [counted(counts[name], name) for name in ("error", "warning") if counts[name]]
    tone = "bad" if counts["error"] else "fair" if counts["warning"] else "good"
    verdict = {"bad": "do not start", "fair": "can start", "good": "nothing speaks against starting"}[tone]
    looked = f"{counted(num_rows, 'row')} looked at" if num_rows else "no rows counted"
    return f"{SYMBOLS[tone]} {verdict}: {', '.join([*said, looked])}"
