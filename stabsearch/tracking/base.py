"""What a tracker is: something that is told, never asked, and never in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stabsearch.frontier import Frontier
    from stabsearch.frontier.answer import Answer
    from stabsearch.records import TrialRecord

RunStatus = Literal["FINISHED", "KILLED", "FAILED"]


@dataclass(frozen=True)
class Delivery:
    """What reached the tracker by the end of a sweep."""

    delivered: int
    """Trials whose run is known to be complete there."""
    missing: int
    """Trials whose run is not; running the sweep's command again sends them."""
    problem: str = ""
    """What went wrong last, one line; empty: everything arrived."""
    url: str = ""
    """Where the sweep can be looked at; passwords left out."""
    run_id: str | None = None
    """MLflow run of the sweep, None when there is none."""

    @property
    def is_complete(self) -> bool:
        """True when every trial and everything said about the sweep arrived."""
        return self.missing == 0 and not self.problem


class Look(NamedTuple):
    """How far a sweep is."""

    records: Sequence[TrialRecord]
    """Every trial that has ended."""
    answer: Answer | None = None
    """What it would say if it ended now; None: nothing is known yet."""
    frontier: Frontier | None = None
    """As it stands now."""


class Tracker(Protocol):
    """Shows a sweep to people while it runs; it can be down, slow or wrong and no trial suffers."""

    is_watched: bool
    """False: nothing is shown, and nothing need be worked out for it."""

    def check(self) -> None:
        """Return when the tracker named in the sweep answers, or need not; a few short attempts.

        Raises:
            UserError: it does not, at ``tracking.uri``.
        """
        ...

    def open(self) -> None:
        """Start, or go on with the same sweep; returns at once and never raises."""
        ...

    def record(self, record: TrialRecord) -> None:
        """Take one finished trial; returns at once and never raises."""
        ...

    def progress(self, look: Look) -> None:
        """Show how far the sweep is, from time to time; returns at once and never raises."""
        ...

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
        """Return what arrived, after a bounded time; never raises.

        Args:
            records: every trial of the study with its final label: they are the truth, and what
                was told before is corrected to it.
            answer: what the sweep found, None when it did not get that far.
            frontier: the fitted frontier, None when there is none.
            status: how the sweep ended.
            next_step: what the reader should do now, in one or two sentences.
            sentence: what was found where that is no answer: the verdict of a drift.
        """
        ...
