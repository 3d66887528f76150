"""Trials of several processes on this machine: started together, kept warm together, ended together."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from stabsearch.driver.base import WorkerLost, WorkOrder
from stabsearch.driver.child import Child, same_modules, speaking
from stabsearch.driver.environment import worker_variables
from stabsearch.driver.telling import Slate
from stabsearch.records import TrialPlan, TrialRecord
from stabsearch.records.progress import Progress
from stabsearch.trial.temporary import temporary_folder

LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # DDP warns once per model, on stderr
MODULE = "stabsearch.driver.rank_process"
SETTLE_S = 1.0  # chosen: a process that died is seen by those it trained with and by us in any order


class RankGroup:
    """Runs trials in processes of its own, which train together and are replaced together.

    This process stays outside of the training: it only waits, so that it can end what hangs. A trial in
    which any process raised, died or ran too long leaves the others in the middle of an exchange. They
    are ended, and the next trial starts new ones.

    Args:
        order: what every worker needs; ``setup.num_processes`` train together.
    """

    def __init__(self, order: WorkOrder) -> None:
        self._order = order
        self._ranks: tuple[Child, ...] = ()
        self._kept = ExitStack()
        self._scratch: Path | None = None

    def work(self, plan: TrialPlan) -> TrialRecord:
        """Return the record of a trial: that of the process which raised first, else what all agreed on.

        Raises:
            WorkerLost: a process died or ran out of time; all of them are gone.
        """
        deadline = time.monotonic() + self._order.timeout_s
        try:
            self._wake()
            for rank in self._ranks:
                rank.send(plan)
            record, has_raised = self._answer(deadline)
        except BaseException:
            self.close()
            raise
        if has_raised:
            self.close()
        return record

    def progress(self) -> list[Progress]:
        """Return how far the trial at hand is, as the first of its processes left it."""
        scratch = self._scratch
        return slate_in(scratch).read() if scratch else []

    def warm_up(self) -> None:
        """Start the processes."""
        self._wake()

    def close(self) -> None:
        """End all processes, and remove what they left in their folder."""
        for rank in self._ranks:
            rank.end()
        self._ranks = ()
        self._kept.close()

    def _wake(self) -> None:
        """Start the processes, unless all of them are waiting for a plan."""
        if self._ranks and all(rank.is_alive for rank in self._ranks):
            return
        self.close()
        folder = self._scratch = self._kept.enter_context(temporary_folder())
        number = self._order.setup.num_processes
        for index in range(number):
            variables = _variables(index, number, self._order.setup.num_threads, folder)
            self._ranks += (Child.started(index, variables, MODULE),)
        for rank in self._ranks:
            rank.send((self._order, folder))

    def _answer(self, deadline: float) -> tuple[TrialRecord, bool]:
        """Return the record, and whether a process raised."""
        records: dict[int, TrialRecord] = {}
        while len(records) < len(self._ranks):
            waiting = [rank for rank in self._ranks if rank.index not in records]
            for rank in speaking(waiting, deadline - time.monotonic()):
                record, has_raised = rank.answer()
                if has_raised:
                    self._look_for_dead(but=rank)
                    return record, True
                records[rank.index] = record
            if time.monotonic() > deadline and len(records) < len(self._ranks):
                raise WorkerLost(f"the trial ran for longer than {self._order.timeout_s:g} s")
        return records[0], False

    def _look_for_dead(self, but: Child) -> None:
        """Raise when another process died: what a process raises whose connection broke is no crash."""
        until = time.monotonic() + SETTLE_S
        silent = [rank for rank in self._ranks if rank is not but]
        while silent and (heard := speaking(silent, until - time.monotonic())):
            for rank in heard:
                rank.answer()
                silent.remove(rank)


def slate_in(scratch: Path) -> Slate:
    """Return where the first of the processes that share a folder leaves how far it is."""
    return Slate(scratch / "progress")


def _variables(index: int, number: int, num_threads: int, scratch: Path) -> dict[str, str]:
    """Return the environment of a process: its place among the others, as torch and Accelerate read it.

    All are on this machine, and speak over its loopback.
    """
    place = {"RANK": index, "LOCAL_RANK": index, "WORLD_SIZE": number, "LOCAL_WORLD_SIZE": number}
    return {
        **QUIET,
        "GLOO_SOCKET_IFNAME": LOOPBACK,
        "NCCL_SOCKET_IFNAME": LOOPBACK,
        **os.environ,
        **worker_variables(num_threads),
        **{name: str(value) for name, value in place.items()},
        "MASTER_ADDR": "127.0.0.1",
        "TMPDIR": str(scratch),
        **same_modules(),
    }
