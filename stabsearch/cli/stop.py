"""``stabsearch stop``: the end of a job, in good order."""

from __future__ import annotations

import typer

from stabsearch.cli.arguments import AsJson, JobAddress, JobId
from stabsearch.cli.output import print_json


def stop(job: JobId, address: JobAddress = None, as_json: AsJson = False) -> None:
    """Stop a job; it writes its reports first, and the same submission goes on with it."""
    from stabsearch.driver.jobs import JobServer

    server = JobServer(address)
    before = server.find(job)
    after = before if before.is_over else server.stop(before)
    if as_json:
        print_json(after.to_json())
        return
    had = "had ended before" if before.is_over else "has ended"
    typer.echo(f"{after.id} {had}: {after.status.lower()}")
