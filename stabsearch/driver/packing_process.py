"""One of the processes in which ``driver.packing`` runs trials side by side."""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

from stabsearch.driver.child import listening
from stabsearch.driver.packing import Ran
from stabsearch.driver.worker import work


def main(line: Connection) -> None:
    """Run each plan that comes, and tell how long it trained and what its process has taken."""
    from stabsearch.trial.machine import memory_shares

    heard = listening(line)
    order = heard.get()
    while True:
        record = work(heard.get(), order)
        shares = memory_shares(order.setup.on_gpu)
        line.send(Ran(record.outcome, record.message, record.steps, record.train_s, shares))


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
