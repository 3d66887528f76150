"""``stabsearch drift``: does an old frontier still hold?"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from stabsearch.cli.arguments import Address, AsJson, Overrides, Quiet, ResumeHow, SweepDir
from stabsearch.cli.output import print_json, reader_may_leave
from stabsearch.cli.watching import view_maker


def drift(
    folder: SweepDir,
    sweep: Annotated[
        Path | None,
        typer.Option(metavar="SWEEP", help="The sweep file as it is now; default: as DIR resolved it."),
    ] = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nobody changes it
    trials: Annotated[
        int | None, typer.Option(help="Most trials (default 16); it ends earlier once the verdict is clear.")
    ] = None,
    max_risk: Annotated[
        float | None, typer.Option(help="Largest failure probability; default: the sweep's.")
    ] = None,
    resume: ResumeHow = "auto",
    address: Address = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Test with a handful of trials whether a finished sweep's frontier still holds."""
    from stabsearch.report.drift import drift_json, drift_lines
    from stabsearch.sweep.drifting import run_drift

    result = run_drift(
        folder, sweep=sweep, overrides=[*overrides, *([f"resources.address={address}"] if address else [])],
        trials=trials, max_risk=max_risk, resume=resume, view_for=view_maker(quiet=quiet),
        command=shlex.join(["stabsearch", *sys.argv[1:]]),
    )  # fmt: skip
    if as_json:
        print_json(drift_json(result))
    else:
        with reader_may_leave():
            sys.stdout.write("\n".join(drift_lines(result)) + "\n")
    raise typer.Exit(result.exit_code)
