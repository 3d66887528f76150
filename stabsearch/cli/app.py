"""The program ``stabsearch``: its commands, its errors and its exit codes."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from stabsearch.cli.check import check
from stabsearch.cli.compare import compare
from stabsearch.cli.diagnose import diagnose
from stabsearch.cli.drift import drift
from stabsearch.cli.gate import gate
from stabsearch.cli.init import init
from stabsearch.cli.jobs import jobs
from stabsearch.cli.logs import logs
from stabsearch.cli.recommend import recommend
from stabsearch.cli.replay import replay
from stabsearch.cli.report import report
from stabsearch.cli.run import run
from stabsearch.cli.schema import schema
from stabsearch.cli.status import status
from stabsearch.cli.stop import stop
from stabsearch.cli.submit import submit
from stabsearch.cli.ui import ui
from stabsearch.errors import ExitCode, UserError
from stabsearch.version import __version__

app = typer.Typer(
    name="stabsearch",
    help="Find how far a fine-tuning run's hyperparameters can be pushed before training breaks.",
    epilog="Exit codes: 0 an answer, 1 a verdict against, 2 could not judge, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _ended_well(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose ways to end are exit codes; only our own bugs still raise."""

    @functools.wraps(command)
    def run_command(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("interrupted; the same command goes on where it stopped", err=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from None

    return run_command


for _command in (
    init, check, run, status, report, recommend, compare, drift, gate, diagnose, replay, ui, schema,
    submit, jobs, logs, stop,
):  # fmt: skip
    app.command()(_ended_well(_command))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stabsearch {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Read the options that belong to no command."""


def main() -> None:
    """Run the command line and end the process with its exit code; an internal error is never 0 or 1."""
    try:
        app()
    except Exception:  # noqa: BLE001 - the rim of the program
        traceback.print_exc()
        typer.echo(f"a bug in stabsearch {__version__}: please report it with the lines above", err=True)
        sys.exit(ExitCode.CANNOT_JUDGE)
