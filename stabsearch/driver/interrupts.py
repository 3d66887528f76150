"""Ctrl-C and SIGTERM, taken at a moment when nothing is half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Notes the first signal for the driver's loop; the second raises where the program stands.

    Used as a context manager around a loop that asks ``is_asked`` in every round. Outside the main
    thread it does nothing: Python delivers signals to the main thread only.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        """Take both signals over."""
        if _in_main_thread():
            self._before = {stop: signal.signal(stop, self._note) for stop in STOPS}
        return self

    def __exit__(self, *_: object) -> None:
        """Give both signals back."""
        for stop, handler in self._before.items():
            signal.signal(stop, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            raise KeyboardInterrupt
        self.is_asked = True


@contextmanager
def term_as_interrupt() -> Iterator[None]:
    """Make SIGTERM raise ``KeyboardInterrupt``, as Ctrl-C does."""
    if not _in_main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def not_lost() -> Iterator[Callable[[], None]]:
    """Have Ctrl-C and SIGTERM raise at once, and yield what raises again where that was swallowed.

    Python ignores what is raised in the callback of a weak reference or in a finalizer, and importing modules
    is full of both: a trial that just begins may go on as if nobody had asked.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    with kept_handlers():
        if _in_main_thread():
            for stop in STOPS:
                signal.signal(stop, note)
        yield check


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Put back afterwards what happens on both signals: Ray takes SIGTERM for itself."""
    before = {stop: signal.getsignal(stop) for stop in STOPS}
    try:
        yield
    finally:
        if _in_main_thread():
            for stop, handler in before.items():
                signal.signal(stop, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore both signals for as long as something takes that must not be left half done."""
    if not _in_main_thread():
        yield
        return
    before = {stop: signal.signal(stop, signal.SIG_IGN) for stop in STOPS}
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
