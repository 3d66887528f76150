"""Look at a sweep with every check that a run makes first, and list what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stabsearch.config.load import load_sweep
from stabsearch.errors import ExitCode
from stabsearch.records import Outcome, TrialRecord
from stabsearch.search.folder import SweepFolder
from stabsearch.sweep.diagnosing import run_canary
from stabsearch.sweep.prepared import Prepared, check_tracker, placed, resolved_with

if TYPE_CHECKING:
    from stabsearch.forensics.finding import Finding


@dataclass(frozen=True)
class Checked:
    """A sweep that was looked at."""

    num_rows: int
    findings: tuple[Finding, ...]
    """The worst first."""
    prepared: Prepared | None
    """The sweep, ready for its canary; None when a finding speaks against it."""
    canary: TrialRecord | None = None
    """What came of the conservative baseline; None when it was not run."""

    @property
    def exit_code(self) -> ExitCode:
        """Return what findings and canary come to."""
        from stabsearch.forensics.finding import exit_code

        found = exit_code(self.findings)
        if self.canary is None or found is not ExitCode.ANSWER or self.canary.outcome is Outcome.STABLE:
            return found
        is_verdict = self.canary.outcome.is_failure or self.canary.outcome is Outcome.DATA_FAULT
        return ExitCode.AGAINST if is_verdict else ExitCode.CANNOT_JUDGE

    def with_canary(self) -> Checked:
        """Return the same with the canary run, where nothing speaks against running it."""
        return replace(self, canary=run_canary(self.prepared)) if self.prepared else self


def check_sweep(sweep: Path | str, overrides: Sequence[str] = ()) -> Checked:
    """Return what every check before a run's first trial says; runs and writes nothing.

    Raises:
        UserError: the sweep, its data or its model cannot be read, or its tracking store refuses;
            with the place in the file.
    """
    from stabsearch.forensics.preflight import preflight

    loaded = load_sweep(Path(sweep), overrides)
    with placed(loaded.source):
        folder = SweepFolder(loaded.sweep, "auto")
        folder.check()
        found = preflight(loaded.sweep, is_begun=folder.holds_a_sweep)
        if any(finding.is_error for finding in found.findings):
            return Checked(found.num_rows, found.findings, None)
        prepared = resolved_with(loaded, found, is_begun=folder.holds_a_sweep)
        check_tracker(prepared.sweep, folder)
        return Checked(found.num_rows, found.findings, prepared)
