"""``stabsearch status``: where a sweep stands."""

from __future__ import annotations

import typer

from stabsearch.cli.arguments import AsJson, SweepDir
from stabsearch.cli.output import print_json, result_json, show_result


def status(folder: SweepDir, as_json: AsJson = False) -> None:
    """Show where a sweep stands, also while it runs."""
    from stabsearch.report.drift import drift_line
    from stabsearch.sweep import read_progress, read_sweep
    from stabsearch.sweep.drift_places import drifts_of, read_result

    progress, result = read_progress(folder), read_sweep(folder)
    drifts = [(path, read_result(path)) for _, path in drifts_of(folder)]
    if as_json:
        ended = [found for _, found in drifts if found]
        print_json({"progress": progress, **result_json(result), "drifts": ended})
        return
    typer.echo(
        f"{progress['done']} of {progress['budget']} trials done, {progress['running']} unfinished, "
        f"{'a driver is at work' if progress['is_driven'] else 'no driver is at work'}"
    )
    show_result(result, as_json=False)
    for path, found in drifts[-1:]:
        typer.echo(drift_line(path, found))
