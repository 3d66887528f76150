"""One of the processes that train a trial together: takes plans from ``driver.ranks``, gives records back."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from stabsearch.driver.child import listening
from stabsearch.driver.ranks import slate_in
from stabsearch.driver.telling import telling
from stabsearch.driver.worker import workload
from stabsearch.trial.gauge import Gauge

if TYPE_CHECKING:
    from stabsearch.task.base import Workload


def main(line: Connection) -> None:
    """Run each plan that comes, for as long as the line holds."""
    heard = listening(line)
    order, folder = heard.get()
    gauge = Gauge()

    def build() -> Workload:
        from stabsearch.trial.joining import join

        join(folder / "meeting", order.setup, timeout_s=order.timeout_s)
        return workload(order)

    from stabsearch.trial.run import trial_ended

    with telling(gauge.read, slate_in(folder).write if _is_first() else None):
        while True:
            ended = trial_ended(heard.get(), build, order.setup, gauge)
            line.send((ended.record, ended.has_raised))


def _is_first() -> bool:
    """Return whether this is the process that tells how far all of them are."""
    return os.environ["RANK"] == "0"


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
