"""``stabsearch run``: the main job."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stabsearch.cli.arguments import Address, AsJson, Overrides, Quiet, ResumeHow, SweepFile
from stabsearch.cli.output import print_json, show_result
from stabsearch.cli.watching import view_maker

if TYPE_CHECKING:
    from pathlib import Path

    from stabsearch.search.folder import Resume


def run(
    sweep: SweepFile,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nobody changes it
    resume: ResumeHow = "auto",
    address: Address = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, show the plan, run nothing.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the stability frontier and a safe configuration."""
    given = [*overrides, *([f"resources.address={address}"] if address else [])]
    if dry_run:
        _show_plan(sweep, given, resume, as_json)
        return
    from stabsearch.sweep import run_sweep

    command = shlex.join(["stabsearch", *sys.argv[1:]])
    view_for = view_maker(quiet=quiet)
    result = run_sweep(sweep, overrides=given, resume=resume, view_for=view_for, command=command)
    show_result(result, as_json)
    raise typer.Exit(result.exit_code)


def _show_plan(sweep: Path, overrides: list[str], resume: Resume, as_json: bool) -> None:
    from stabsearch.sweep import planned, prepare

    plan = planned(prepare(sweep, overrides, resume))
    if as_json:
        print_json(plan)
        return
    for name, value in plan.items():
        lines = value if isinstance(value, list) else [value]
        for i, line in enumerate(lines):
            typer.echo(f"{name if i == 0 else '':<14}{line}")
