"""One attempt at something that may hang."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def within(timeout_s: float, act: Callable[[], object]) -> None:
    """Return once ``act`` has returned, at most this many seconds later.

    Raises:
        TimeoutError: it has not; it goes on in a daemon thread, which nothing waits for.
        Exception: whatever ``act`` raised.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  # raised again where the caller waits
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="stabsearch-attempt", daemon=True).start()
    try:
        done.result(timeout_s)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {timeout_s:g} s") from error
