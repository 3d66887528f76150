"""What is seen of a sweep while it runs: a picture, lines, or nothing at all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console

from stabsearch.config import Sweep
from stabsearch.records import TrialPlan, TrialRecord
from stabsearch.records.progress import Progress
from stabsearch.report.live import LiveView
from stabsearch.report.plain import PlainView
from stabsearch.report.standing import Standing


class View(Protocol):
    """Watches a sweep from its start to its end; used as a context manager."""

    is_watched: bool
    """Whether anybody looks; otherwise nothing need be worked out for it."""

    def __enter__(self) -> Self:
        """Return the view, shown."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was found."""

    def started(self, plan: TrialPlan) -> None:
        """A trial was sent off; once more when it is tried again."""

    def progress(self, progress: Progress) -> None:
        """A running trial got further; called by a thread of its own, also once the trial has ended."""

    def finished(self, record: TrialRecord) -> None:
        """A trial was recorded."""

    def stands(self, standing: Standing) -> None:
        """Trials have ended, and this is what all of them come to; called by a thread of its own."""

    def message(self, text: str) -> None:
        """Something worth a line happened."""


class QuietView:
    """Shows nothing."""

    is_watched = False

    def __enter__(self) -> Self:
        """Return the view."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""

    def started(self, plan: TrialPlan) -> None:
        """Show nothing."""

    def progress(self, progress: Progress) -> None:
        """Show nothing."""

    def finished(self, record: TrialRecord) -> None:
        """Show nothing."""

    def stands(self, standing: Standing) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing: errors and the answer have their own way out."""


def view_for(
    sweep: Sweep,
    *,
    is_quiet: bool = False,
    records: Sequence[TrialRecord] = (),
    stream: TextIO | None = None,
) -> View:
    """Return the view that suits the stream: a picture, plain lines, or nothing.

    Args:
        sweep: its budget and learning-rate range are shown.
        is_quiet: show nothing.
        records: trials of an earlier run of the same sweep.
        stream: where progress goes; stderr by default.
    """
    if is_quiet:
        return QuietView()
    console = Console(file=stream or sys.stderr, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        return PlainView(sweep, stream, records=records)
    return LiveView(sweep, console, records=records)
