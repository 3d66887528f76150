"""How far the trial at hand is, for another thread to read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stabsearch.records.progress import Progress

if TYPE_CHECKING:
    from stabsearch.trial.guard import GuardLog


class Gauge:
    """Shows the latest numbers of a trial, which for its part calls, sends and waits for nothing.

    Another thread reads what the guard keeps anyway, so that showing it costs a training step no instruction.
    """

    def __init__(self) -> None:
        self._shown: tuple[int, GuardLog] | None = None

    def show(self, number: int, log: GuardLog) -> None:
        """Let the numbers of a trial be read from now on."""
        self._shown = number, log

    def hide(self) -> None:
        """Let nothing be read any more: the trial is over."""
        self._shown = None

    def read(self) -> list[Progress]:
        """Return the latest step of the trial at hand; nothing before its first, and between trials."""
        shown = self._shown
        if shown is None:
            return []
        number, log = shown
        done = min(len(log.losses), len(log.learning_rates))  # while a step is added they differ
        if not done:
            return []
        rates = [rate for rate in log.learning_rates[max(done - 2, 0) : done] if math.isfinite(rate)]
        rate = rates[-1] if rates else math.nan  # a bad loss comes before its step has one
        return [Progress(number, log.steps_before + done, log.losses[done - 1], rate)]
