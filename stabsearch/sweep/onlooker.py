"""What a running sweep would answer if it ended now, worked out beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from stabsearch.sweep.result import answer_of
from stabsearch.tracking import Look

if TYPE_CHECKING:
    from stabsearch.records import TrialRecord
    from stabsearch.report.views import View
    from stabsearch.sweep.prepared import Prepared
    from stabsearch.tracking import Tracker

Told = Callable[[Look], None]

LEAST_PAUSE_S = 2.0  # chosen: nobody reads faster
SHARE = 30.0  # chosen: at most a thirtieth of one core, however many contexts and trials


class Onlooker:
    """Tells people where the sweep stands, from a thread of its own: trials do not wait for it.

    Of the records that came while it worked, the latest count; what goes wrong here takes nothing away
    but the answer so far, and where one of them cannot be told, only from that one.

    Args:
        prepared: what is asked.
        told: are told, one after another.
        say: takes what went wrong, as text.
    """

    def __init__(self, prepared: Prepared, told: Sequence[Told], say: Callable[[str], None]) -> None:
        self._prepared, self._told, self._say = prepared, list(told), say
        self._records: Sequence[TrialRecord] | None = None
        self._lock, self._has_news, self._over = Lock(), Event(), False
        Thread(target=self._run, name="stabsearch-standing", daemon=True).start()

    def see(self, records: Sequence[TrialRecord]) -> None:
        """Take note of the records as they are now, labelled."""
        self._records = records
        self._has_news.set()

    def stop(self) -> None:
        """Tell nothing more."""
        with self._lock:
            self._over = True
        self._has_news.set()

    def _run(self) -> None:
        try:
            while not self._over:
                self._has_news.wait()
                time.sleep(self._once())
        except Exception as error:  # noqa: BLE001 - the sweep goes on, only this view of it does not
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        self._say(f"the answer so far cannot be shown: {type(error).__name__}: {error}")

    def _once(self) -> float:
        """Tell where the sweep stands; return how long to look away."""
        self._has_news.clear()
        records, prepared, began = self._records, self._prepared, time.thread_time()
        if records is None or self._over:
            return 0.0
        frontier, answer = answer_of(prepared, records)
        look = Look(records, answer, frontier)
        with self._lock:
            for each in () if self._over else tuple(self._told):
                try:
                    each(look)
                except Exception as error:  # noqa: BLE001 - the others are told
                    self._told.remove(each)
                    self._complain(error)
        return max(LEAST_PAUSE_S, SHARE * (time.thread_time() - began))


@contextmanager
def onlooker(
    prepared: Prepared, told: Sequence[Told], say: Callable[[str], None]
) -> Iterator[Onlooker | None]:
    """Have people told meanwhile where the sweep stands; None where nobody looks."""
    looking = Onlooker(prepared, told, say) if told else None
    try:
        yield looking
    finally:
        if looking:
            looking.stop()


def told_of(prepared: Prepared, view: View, tracker: Tracker) -> list[Told]:
    """Return who is told where a sweep stands: its view and its tracker, those that show it."""
    from stabsearch.report.standing import Standing

    def show(look: Look) -> None:
        assert look.frontier, "it was worked out"
        assert look.answer, "so was this"
        view.stands(Standing.of(len(look.records), look.frontier, look.answer, prepared.sweep.search.goal))

    watched: list[Told] = [show] if view.is_watched else []
    return [*watched, tracker.progress] if tracker.is_watched else watched
