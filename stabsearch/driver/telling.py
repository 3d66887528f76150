"""How far running trials are, told beside them: whatever becomes of it, they do not notice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from stabsearch.records.progress import Progress

EVERY_S = 1.0  # chosen: as often as people look; a look costs some microseconds

OnProgress = Callable[[Progress], None]
"""Told how far a running trial is, by a thread of its own."""


class Telling:
    """Tells from a thread of its own whatever has changed since the last look, until it is stopped.

    What goes wrong on the way is left out; a way that blocks keeps nobody but the thread, which nobody
    waits for.

    Args:
        look: returns how far trials are.
        tell: takes each that has changed.
        every_s: seconds between two looks.
    """

    def __init__(self, look: Callable[[], Iterable[Progress]], tell: OnProgress, every_s: float) -> None:
        self._look, self._tell, self._every_s = look, tell, every_s
        self._over = Event()
        self._thread = Thread(target=self._run, name="stabsearch-progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell nothing more, but for what is being told just now."""
        self._over.set()

    def wait(self, timeout_s: float) -> None:
        """Return once nothing is told any more, or the time is up."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        told: dict[int, bytes] = {}
        while not self._over.wait(self._every_s):
            with suppress(Exception):
                told = self._once(told)

    def _once(self, told: dict[int, bytes]) -> dict[int, bytes]:
        """Return what has been told now, of the trials that were seen."""
        seen = {progress.number: progress for progress in self._look()}
        for number, progress in seen.items():
            if told.get(number) != progress.to_bytes() and not self._over.is_set():
                self._tell(progress)
        return {number: progress.to_bytes() for number, progress in seen.items()}


@contextmanager
def telling(look: Callable[[], Iterable[Progress]], tell: OnProgress | None) -> Iterator[None]:
    """Tell meanwhile how far trials are; nobody is told, and no thread started, where there is nobody."""
    teller = Telling(look, tell, EVERY_S) if tell else None
    try:
        yield
    finally:
        if teller:
            teller.stop()


class Slate:
    """A small file that two processes of a machine share: one writes how far it is, the other reads.

    Args:
        path: that only they know; what was written last stays there until the folder goes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, progress: Progress) -> None:
        """Replace what stands there."""
        self._path.write_bytes(progress.to_bytes())

    def read(self) -> list[Progress]:
        """Return what stands there, if anything does."""
        return [Progress.from_bytes(self._path.read_bytes())] if self._path.exists() else []
