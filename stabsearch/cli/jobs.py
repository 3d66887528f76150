"""``stabsearch jobs``: the sweeps of a cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from stabsearch.cli.arguments import AsJson, JobAddress
from stabsearch.cli.output import print_json, reader_may_leave

if TYPE_CHECKING:
    from stabsearch.driver.jobs import Job

COLUMNS = ("id", "status", "exit code", "started", "minutes", "results")


def jobs(
    address: JobAddress = None,
    every: Annotated[bool, typer.Option("--all", help="Show jobs of other programs, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the sweeps that were submitted to a cluster."""
    from stabsearch.driver.jobs import JobServer

    found = JobServer(address).jobs(every=every)
    if as_json:
        print_json({"jobs": [job.to_json() for job in found]})
        return
    rows = [COLUMNS, *(_row(job, time.time()) for job in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    with reader_may_leave():
        for row in rows:
            line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            typer.echo(line.rstrip())


def _row(job: Job, now: float) -> tuple[str, ...]:
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.started_at)) if job.started_at else ""
    minutes = f"{((job.ended_at or now) - job.started_at) / 60:.1f}" if job.started_at else ""
    code = str(int(job.exit_code)) if job.is_over else ""
    return job.id, job.status.lower(), code, started, minutes, job.folder
