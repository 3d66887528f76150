"""``stabsearch report``: every report, rebuilt from the study."""

from __future__ import annotations

from stabsearch.cli.arguments import AsJson, SweepDir
from stabsearch.cli.output import show_result


def report(folder: SweepDir, as_json: AsJson = False) -> None:
    """Rebuild every report of a sweep from its study."""
    from stabsearch.sweep import rebuild_reports

    show_result(rebuild_reports(folder), as_json)
