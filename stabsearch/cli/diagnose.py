"""``stabsearch diagnose``: the debugging ladder."""

from __future__ import annotations

import shutil

import typer

from stabsearch.cli.arguments import AsJson, Overrides, SweepFile
from stabsearch.cli.output import print_json, reader_may_leave


def diagnose(
    sweep: SweepFile,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nobody changes it
    as_json: AsJson = False,
) -> None:
    """Name the cause of a sweep's failures, with the evidence."""
    from stabsearch.report.diagnosis import WIDTH, diagnosis_text
    from stabsearch.sweep import diagnose_sweep

    found = diagnose_sweep(sweep, overrides)
    if as_json:
        print_json(found.to_json())
    else:
        width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
        with reader_may_leave():
            typer.echo(diagnosis_text(found.to_json(), width))
    raise typer.Exit(found.exit_code)
