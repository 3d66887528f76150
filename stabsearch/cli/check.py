"""``stabsearch check``: everything that can be known before a sweep spends anything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stabsearch.cli.arguments import AsJson, Overrides, SweepFile
from stabsearch.cli.output import print_json, reader_may_leave

if TYPE_CHECKING:
    from stabsearch.sweep.checking import Checked


def check(
    sweep: SweepFile,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nobody changes it
    as_json: AsJson = False,
) -> None:
    """Check sweep, data, labels, loss, model and machine; train nothing but the canary."""
    from stabsearch.sweep.checking import check_sweep

    found = check_sweep(sweep, overrides)
    if not as_json:
        _show_findings(found)
    found = found.with_canary()
    if as_json:
        print_json(_as_json(found))
    else:
        _show_canary(found, sweep)
    raise typer.Exit(found.exit_code)


def _as_json(found: Checked) -> dict[str, object]:
    canary = found.canary
    return {
        "exit_code": int(found.exit_code),
        "num_rows": found.num_rows,
        "findings": [finding.to_json() for finding in found.findings],
        "canary": {"outcome": canary.outcome.value, "cause": canary.cause, "message": canary.message}
        if canary
        else None,
    }


def _show_findings(found: Checked) -> None:
    from stabsearch.report.preflight import print_findings, verdict_line

    with reader_may_leave():
        print_findings(found.findings, sys.stdout)
        typer.echo(verdict_line(found.findings, found.num_rows))


def _show_canary(found: Checked, sweep: Path) -> None:
    from stabsearch.report.preflight import canary_line

    if found.canary is None:
        return
    with reader_may_leave():
        typer.echo(canary_line(found.canary, str(sweep)))
