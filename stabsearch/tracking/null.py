"""The tracker of a sweep that is not tracked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabsearch.tracking.base import Delivery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stabsearch.frontier import Frontier
    from stabsearch.frontier.answer import Answer
    from stabsearch.records import TrialRecord
    from stabsearch.tracking.base import Look, RunStatus


class NullTracker:
    """Takes everything and shows nothing (``tracking.uri: none``)."""

    is_watched = False

    def check(self) -> None:
        """Return: there is nothing to reach."""

    def open(self) -> None:
        """Return: there is nothing to start."""

    def record(self, record: TrialRecord) -> None:
        """Return: nothing is kept."""

    def progress(self, look: Look) -> None:
        """Return: nobody looks."""

    def close(
        self,
        records: Sequence[TrialRecord],
        answer: Answer | None,
        frontier: Frontier | None,
        status: RunStatus,
        *,
        next_step: str = "",
        sentence: str = "",
    ) -> Delivery:
        """Return a delivery of nothing, with nothing missing."""
        return Delivery(delivered=0, missing=0)
