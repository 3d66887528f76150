"""One background thread that does things in order and tries again what failed."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stabsearch.tracking.reason import is_passing, reason

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 30.0  # chosen: an outage of an hour costs 120 attempts
_REFUSALS = 2  # a run deleted under our feet is put right by looking again, once


@dataclass
class _Step:
    name: str
    act: Callable[[], None]
    refusals_left: int = _REFUSALS


class Courier:
    """Does steps in the order they came, in a daemon thread, and never raises.

    Args:
        reset: called after every failure, before the next attempt: what was known of the other
            side is in doubt then.
        first_pause_s: seconds until a failed step is tried again; doubles with each failure.

    A step that fails for a passing reason is tried until it succeeds or the courier is dismissed;
    one that is refused is tried once more and then given up, so that it cannot hold back the others.
    """

    def __init__(self, reset: Callable[[], None], first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._reset = reset
        self._first_pause_s = first_pause_s
        self._steps: deque[_Step] = deque()
        self._changed = threading.Condition()
        self._is_dismissed = False
        self._is_hurried = False
        self._thread = threading.Thread(target=self._work, name="stabsearch-mlflow", daemon=True)
        self.problem = ""
        """Reason why the step at hand fails; empty while nothing is amiss."""
        self.refused: dict[str, str] = {}
        """Steps that were given up, with the reason; a later success under the same name clears it."""

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def send(self, name: str, act: Callable[[], None]) -> None:
        """Take a step; returns at once."""
        with self._changed:
            self._steps.append(_Step(name, act))
            self._changed.notify_all()

    def finish(self, timeout_s: float, stall_s: float = math.inf) -> bool:
        """Return whether every step was dealt with; none is begun after that.

        Pauses between attempts are short from here on: someone is waiting.

        Args:
            timeout_s: seconds in all.
            stall_s: seconds in which not a single step was dealt with.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
            while left := len(self._steps):
                wait_s = min(stall_s, deadline - time.monotonic())
                if not self._changed.wait_for(partial(self._has_fewer, left), max(0.0, wait_s)):
                    break
            self._is_dismissed = True
            self._changed.notify_all()
            return not self._steps

    def _has_fewer(self, steps: int) -> bool:
        return len(self._steps) < steps

    def _work(self) -> None:
        pause_s = self._first_pause_s
        while (step := self._next()) is not None:
            error = self._attempt(step)
            if error is None or not is_passing(error):
                pause_s = self._first_pause_s
                continue
            self._rest(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    def _next(self) -> _Step | None:
        """Return the first step, left in the line until it is dealt with; None: dismissed."""
        with self._changed:
            self._changed.wait_for(lambda: self._steps or self._is_dismissed)
            return None if self._is_dismissed else self._steps[0]

    def _attempt(self, step: _Step) -> Exception | None:
        try:
            step.act()
        except Exception as error:  # noqa: BLE001  # whatever a tracker does, no trial may suffer from it
            self._failed(step, error)
            return error
        self.problem = ""
        self.refused.pop(step.name, None)
        self._drop_first()
        return None

    def _failed(self, step: _Step, error: Exception) -> None:
        self.problem = reason(error)
        self._reset()
        if is_passing(error):
            return
        step.refusals_left -= 1
        if step.refusals_left == 0:
            self.refused[step.name] = self.problem
            self._drop_first()

    def _drop_first(self) -> None:
        with self._changed:
            self._steps.popleft()
            self._changed.notify_all()

    def _rest(self, pause_s: float) -> None:
        """Wait before the next attempt; briefly when someone waits for the end."""
        with self._changed:
            if self._is_hurried:
                self._changed.wait_for(lambda: self._is_dismissed, min(pause_s, 2 * self._first_pause_s))
            else:
                self._changed.wait_for(lambda: self._is_dismissed or self._is_hurried, pause_s)
