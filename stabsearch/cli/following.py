"""Waiting for a job of a cluster; Ctrl-C leaves the job at work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from stabsearch.errors import ExitCode

if TYPE_CHECKING:
    from stabsearch.driver.jobs import Job, JobServer


def followed(server: JobServer, job: Job, *, err: bool = False) -> Job:
    """Return a job once it has ended, having shown what it said.

    Args:
        server: where it is.
        job: the job.
        err: show it on stderr, where stdout belongs to an answer.
    """
    stream = sys.stderr if err else sys.stdout

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    with _detached(job):
        return _explained(server.follow(job, write))


def waited(server: JobServer, job: Job) -> Job:
    """Return a job once it has ended."""
    with _detached(job):
        return _explained(server.wait(job))


def _explained(job: Job) -> Job:
    """Say why a job failed that never came to an exit code of its own."""
    if job.status == "FAILED" and job.driver_exit_code is None:
        lines = [line for line in job.message.splitlines() if line.strip()]
        typer.echo(
            f"{job.id} failed: {lines[0] if lines else 'for no reason that the cluster tells'}", err=True
        )
        for line in lines[1:][-3:]:
            typer.echo(f"  {line}", err=True)
    return job


@contextmanager
def _detached(job: Job) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\n{job.id} goes on; `stabsearch logs {job.id} --follow` shows it again", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
