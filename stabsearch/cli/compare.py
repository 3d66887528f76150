"""``stabsearch compare``: how the frontier moved from one sweep to others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stabsearch.cli.arguments import AsJson
from stabsearch.cli.output import print_json, reader_may_leave
from stabsearch.errors import ExitCode


def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR DIR...", help="Folders of sweeps; the others are compared with the first."
        ),
    ],
    max_risk: Annotated[
        float | None, typer.Option(help="Largest failure probability; default: the first sweep's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw it: FILE.png or FILE.html.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how the frontier moved between sweeps, with intervals."""
    from stabsearch.report.comparison_text import comparison_json, print_comparison
    from stabsearch.report.wording import printable
    from stabsearch.sweep.comparing import compare_sweeps, draw

    comparison = compare_sweeps(folders, max_risk=max_risk, out=out)
    if out is not None:
        draw(comparison, out)
    code = ExitCode.ANSWER if comparison.is_judged else ExitCode.CANNOT_JUDGE
    if as_json:
        print_json({"exit_code": int(code), **comparison_json(comparison)})
    else:
        with reader_may_leave():
            print_comparison(comparison, sys.stdout)
    if out is not None:
        typer.echo(f"drawn: {printable(str(out))}", err=True)
    raise typer.Exit(code)
