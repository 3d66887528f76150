"""One of the processes that train a trial together: takes plans from ``driver.ranks``, gives records back."""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from stabsearch.driver.child import listening
from stabsearch.driver.worker import workload

if TYPE_CHECKING:
    from stabsearch.task.base import Workload


def main(line: Connection) -> None:
    """Run each plan that comes, for as long as the line holds."""
    heard = listening(line)
    order, meeting = heard.get()

    def build() -> Workload:
        from stabsearch.trial.joining import join

        join(meeting, order.setup, timeout_s=order.timeout_s)
        return workload(order)

    from stabsearch.trial.run import trial_ended

    while True:
        ended = trial_ended(heard.get(), build, order.setup)
        line.send((ended.record, ended.has_raised))


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
