"""``stabsearch report``: every report, rebuilt from the study."""

from __future__ import annotations

from typing import Annotated

import typer

from stabsearch.cli.arguments import AsJson, SweepDir
from stabsearch.cli.output import show_result


def report(
    folder: SweepDir,
    as_json: AsJson = False,
    sync: Annotated[
        bool, typer.Option("--sync", help="Also deliver to MLflow whatever it lacks, after an outage.")
    ] = False,
) -> None:
    """Rebuild every report of a sweep from its study."""
    from stabsearch.sweep import deliver, rebuild_reports

    show_result((deliver if sync else rebuild_reports)(folder), as_json)
