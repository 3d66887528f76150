"""The live view on a terminal: redraws a picture of the sweep in place."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from stabsearch.config import Sweep
from stabsearch.records import TrialRecord
from stabsearch.report.course import Followed
from stabsearch.report.screen import Screen
from stabsearch.report.standing import Standing
from stabsearch.report.wording import printable

EVERY_S = 0.5  # chosen: a picture takes about 10 ms, and nothing in it changes faster
NUM_MESSAGES = 8  # chosen: what is said before the trials begin


class LiveView(Followed):
    """Redraws one picture in place while the sweep runs; everything goes to the console given."""

    def __init__(
        self,
        sweep: Sweep,
        console: Console,
        *,
        records: Sequence[TrialRecord] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep what the picture needs.

        Args:
            sweep: name, budget and learning-rate range.
            console: a terminal.
            records: trials of an earlier run of the same sweep.
            clock: seconds that only grow.
        """
        self._console = console
        super().__init__(sweep, records, clock)
        self._messages: deque[Text] = deque(maxlen=NUM_MESSAGES)
        self._over = Event()
        self._drawer = Thread(target=self._draw, name="stabsearch-view", daemon=True)
        self._live = self._new_live()

    def __enter__(self) -> Self:
        """Return the view, drawn."""
        self._live.start(refresh=True)
        self._drawer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the picture away, and show the cursor again: the answer follows."""
        try:
            self._over.set()
            self._drawer.join()
        finally:
            self._live.stop()
            self._console.show_cursor(True)

    def finished(self, record: TrialRecord) -> None:
        """Move the trial to the last outcomes."""
        with self._lock:
            self._course.finished(record)

    def stands(self, standing: Standing) -> None:
        """Show the frontier, and the answer if the sweep ended now."""
        with self._lock:
            self._course.standing = standing

    def message(self, text: str) -> None:
        """Write a line above the picture."""
        line = Text(printable(text))
        self._messages.append(line)
        self._console.print(line)

    def render(self) -> Screen:
        """Return the picture as it stands now."""
        with self._lock:
            return self._course.screen()

    def _new_live(self) -> Live:
        return Live(
            console=self._console, get_renderable=self.render, auto_refresh=False, transient=True,
            vertical_overflow="crop",
        )  # fmt: skip

    def _draw(self) -> None:
        """Draw until it is over; a window of another size is begun anew, since terminals move its lines."""
        size = self._console.size
        while not self._over.wait(EVERY_S):
            with suppress(OSError):  # nobody is there to look any more
                if size == self._console.size:
                    self._live.refresh()
                else:
                    size = self._console.size
                    self._begin_anew()

    def _begin_anew(self) -> None:
        self._live.stop()
        self._console.clear()
        for line in list(self._messages):
            self._console.print(line)
        self._live = self._new_live()
        self._live.start(refresh=True)
