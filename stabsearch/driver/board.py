"""How far trials on Ray workers are: a few bytes each, by way of Ray's control store."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ray.experimental.internal_kv import internal_kv_get_gcs_client

from stabsearch.driver import telling
from stabsearch.driver.telling import OnProgress, Telling
from stabsearch.records.progress import Progress

if TYPE_CHECKING:
    from stabsearch.driver.feed import Feed

NAMESPACE = b"stabsearch"
NOTES_PER_S = 50.0  # chosen: of all workers together; a control store takes some thousands
MOST_LOOKED_AT = 40  # chosen: running trials that a tall window has room for
ANSWERS_WITHIN_S = 2.0  # chosen: a control store that takes longer has other things to do


@dataclass(frozen=True)
class Board:
    """Where the workers of a run leave how far they are; it is sent to them.

    A worker cannot be asked while it trains, and an actor that collects would be one more process. A note
    that is lost is replaced by the next.
    """

    slots: int
    """Trials at a time."""
    run: str = field(default_factory=secrets.token_hex)
    """Tells this run from others on the same cluster."""
    every_s: float = field(default_factory=lambda: telling.EVERY_S)
    """Seconds between two looks at a worker, at least."""

    def note(self, progress: Progress) -> None:
        """Leave how far a trial is; called by a worker, on a thread beside its trial."""
        _store().internal_kv_put(
            self._key(progress.number), progress.to_bytes(), True, NAMESPACE, timeout=ANSWERS_WITHIN_S
        )

    def noted(self, numbers: list[int]) -> list[Progress]:
        """Return how far these trials are, as far as it was noted."""
        keys = [self._key(number) for number in numbers[:MOST_LOOKED_AT]]
        found = _store().internal_kv_multi_get(keys, NAMESPACE, timeout=ANSWERS_WITHIN_S) if keys else {}
        return [Progress.from_bytes(note) for note in found.values()]

    def telling_from(self, worker: Any) -> Telling:
        """Return what leaves notes of a worker's trials; all workers together leave so many a second."""
        return Telling(worker.progress, self.note, max(self.every_s, self.slots / NOTES_PER_S))

    @contextmanager
    def read_for(self, feed: Feed, on_progress: OnProgress) -> Iterator[None]:
        """Tell meanwhile how far the trials are that have run for longest."""

        def look() -> list[Progress]:
            return self.noted([plan.number for plan in list(feed.in_flight.values())])

        teller = Telling(look, on_progress, self.every_s)
        try:
            yield
        finally:
            teller.stop()
            teller.wait(ANSWERS_WITHIN_S)  # Ray is shut down next
            with suppress(Exception):
                _store().internal_kv_del(f"{self.run}:".encode(), True, NAMESPACE, timeout=ANSWERS_WITHIN_S)

    def _key(self, number: int) -> bytes:
        return f"{self.run}:{number}".encode()


def _store() -> Any:
    return internal_kv_get_gcs_client()
