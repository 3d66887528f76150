"""One of the processes in which ``driver.packing`` runs trials side by side."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from stabsearch.driver.packing import Ran
from stabsearch.driver.worker import work


def main(line: Connection) -> None:
    """Run each plan that comes, and tell when it ran and what it took."""
    from stabsearch.trial.machine import memory

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to us as well; our parent decides
    order = line.recv()
    while True:
        plan = line.recv()
        record = work(plan, order)
        taken = memory(order.setup.on_gpu)
        line.send(
            Ran(
                record.outcome, record.message, record.steps, record.train_s,
                taken.used_bytes, taken.all_bytes,
            )
        )  # fmt: skip


if __name__ == "__main__":
    with suppress(EOFError):
        main(Connection(int(sys.argv[1])))
