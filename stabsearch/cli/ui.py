"""``stabsearch ui``: MLflow's pages on a sweep's own store, or Optuna's on its study."""

from __future__ import annotations

import subprocess
from typing import Annotated

import typer

from stabsearch.cli.arguments import SweepDir


def ui(
    folder: SweepDir,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
    optuna: Annotated[
        bool, typer.Option("--optuna", help="Open optuna-dashboard on the sweep's study instead.")
    ] = False,
) -> None:
    """Open the MLflow UI on a sweep's store, for this machine only."""
    if optuna:
        from stabsearch.search.dashboard import dashboard_command as command_of
    else:
        from stabsearch.tracking.ui import ui_command as command_of

    command = command_of(folder, port)
    typer.echo(f"http://127.0.0.1:{port} (Ctrl-C ends it)", err=True)
    raise typer.Exit(subprocess.run(command, check=False).returncode)
