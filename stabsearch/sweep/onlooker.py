"""What a running sweep would answer if it ended now, worked out beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from stabsearch.sweep.result import answer_of

if TYPE_CHECKING:
    from stabsearch.records import TrialRecord
    from stabsearch.report.views import View
    from stabsearch.sweep.prepared import Prepared

LEAST_PAUSE_S = 2.0  # chosen: nobody reads faster
SHARE = 30.0  # chosen: at most a thirtieth of one core, however many contexts and trials


class Onlooker:
    """Tells a view where the sweep stands, from a thread of its own: trials do not wait for it.

    Of the records that came while it worked, the latest count; what goes wrong here takes nothing away
    but the view's answer.

    Args:
        prepared: what is asked.
        view: is told.
    """

    def __init__(self, prepared: Prepared, view: View) -> None:
        self._prepared, self._view = prepared, view
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
            self._view.message(f"the answer so far cannot be shown: {type(error).__name__}: {error}")

    def _once(self) -> float:
        """Tell where the sweep stands; return how long to look away."""
        from stabsearch.report.standing import Standing

        self._has_news.clear()
        records, prepared, began = self._records, self._prepared, time.thread_time()
        if records is None or self._over:
            return 0.0
        frontier, answer = answer_of(prepared, records)
        standing = Standing.of(len(records), frontier, answer, prepared.sweep.search.goal)
        with self._lock:
            if not self._over:
                self._view.stands(standing)
        return max(LEAST_PAUSE_S, SHARE * (time.thread_time() - began))


@contextmanager
def onlooker(prepared: Prepared, view: View) -> Iterator[Onlooker | None]:
    """Have a view told meanwhile where the sweep stands; None where nobody looks."""
    looking = Onlooker(prepared, view) if view.is_watched else None
    try:
        yield looking
    finally:
        if looking:
            looking.stop()
