"""``stabsearch logs``: what a job of a cluster says."""

from __future__ import annotations

from typing import Annotated

import typer

from stabsearch.cli.arguments import JobAddress, JobId
from stabsearch.cli.following import followed
from stabsearch.cli.output import reader_may_leave


def logs(
    job: JobId,
    address: JobAddress = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job ends; exit with its exit code.")
    ] = False,
) -> None:
    """Show what a job has said so far."""
    from stabsearch.driver.jobs import JobServer

    server = JobServer(address)
    found = server.find(job)
    if follow:
        raise typer.Exit(followed(server, found).exit_code)
    with reader_may_leave():
        typer.echo(server.log(found), nl=False)
