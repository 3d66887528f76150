"""One of the processes that train a trial together: takes plans from ``driver.ranks``, gives records back."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from stabsearch.driver.worker import workload

if TYPE_CHECKING:
    from stabsearch.task.base import Workload


def main(line: Connection) -> None:
    """Run each plan that comes, for as long as the line holds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to us as well; our parent decides
    heard: SimpleQueue[Any] = SimpleQueue()
    Thread(target=_listen, args=(line, heard), daemon=True).start()
    order, meeting = heard.get()

    def build() -> Workload:
        from stabsearch.trial.joining import join

        join(meeting, order.setup, timeout_s=order.timeout_s)
        return workload(order)

    from stabsearch.trial.run import trial_ended

    while True:
        ended = trial_ended(heard.get(), build, order.setup)
        line.send((ended.record, ended.has_raised))


def _listen(line: Connection, heard: SimpleQueue[Any]) -> None:
    """Pass on what comes; leave at once when nobody is there any more, whatever the trial is at."""
    try:
        while True:
            heard.put(line.recv())
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
