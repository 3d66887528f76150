"""``stabsearch submit``: a sweep as a job of a Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stabsearch.cli.arguments import AsJson, JobAddress, Overrides, SweepFile
from stabsearch.cli.following import followed, waited
from stabsearch.cli.output import print_json
from stabsearch.config.address import without_password

if TYPE_CHECKING:
    from stabsearch.driver.jobs import Job
    from stabsearch.driver.submission import Submission


def submit(
    sweep: SweepFile,
    address: JobAddress = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nobody changes it
    working_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to send; default: that of the sweep file.")
    ] = None,
    exclude: Annotated[
        list[str], typer.Option(metavar="PATTERN", help="Leave files or folders out. Repeatable.")
    ] = [],  # noqa: B006
    env: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="Pass on a variable of this environment, readable for all who may list jobs. Repeatable.",
        ),
    ] = [],  # noqa: B006
    installed: Annotated[
        bool,
        typer.Option("--installed", help="Use the cluster's own stabsearch instead of sending this one."),
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show what the job says, and wait for its end.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; exit with its exit code.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a sweep on a Ray cluster, detached from this terminal.

    The same sweep submitted again is found at work, or goes on where it stopped.
    """
    from stabsearch.driver.submission import prepared

    with prepared(
        sweep,
        overrides,
        working_dir=working_dir,
        excludes=exclude,
        variables=env,
        ships_own_code=not installed,
    ) as submission:
        for warning in submission.warnings:
            typer.echo(f"warning: {warning}", err=True)
        from stabsearch.driver.jobs import JobServer

        server = JobServer(address)
        job, is_new = server.submit(submission)
    _tell(job, submission, is_new, address)
    if follow:
        job = followed(server, job, err=as_json)
    elif wait:
        job = waited(server, job)
    if as_json:
        print_json({**job.to_json(), "is_new": is_new})
    elif not follow:
        typer.echo(job.id)
    if follow or wait:
        raise typer.Exit(job.exit_code)


def _tell(job: Job, submission: Submission, is_new: bool, address: str | None) -> None:
    """Say on stderr what became of it, and how to go on."""
    state = "submitted" if is_new else f"at work already ({job.status.lower()})"
    typer.echo(f"{job.id}: {state}; results in {job.folder} on the cluster", err=True)
    if not is_new and job.package != submission.metadata["package"]:
        typer.echo(
            f"warning: it was started with other files than are here now; `stabsearch stop {job.id}` first, "
            "then submit again, to go on with these",
            err=True,
        )
    there = f" --address {without_password(address)}" if address else ""
    typer.echo(f"stabsearch logs {job.id}{there} --follow", err=True)
