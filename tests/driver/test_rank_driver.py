"""Trials of two processes owe their source the same as any other, and leave no process behind."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from stabsearch.driver.base import Driver, WorkOrder
from stabsearch.driver.inline import InlineDriver
from stabsearch.testing.driver_conformance import WorkerConformance

WAITS = """
import sys
from pathlib import Path
from stabsearch.driver.base import WorkOrder
from stabsearch.driver.ranks import RankGroup
from stabsearch.records import Stage, TrialPlan
from stabsearch.testing.faulty_task import FaultyTask
from stabsearch.trial.setup import TrialSetup
from waiting import build_waiting
task = FaultyTask(sys.argv[1])
order = WorkOrder(task, TrialSetup(max_steps=2, num_processes=2), 3600.0, build_waiting)
RankGroup(order).work(TrialPlan(0, Stage.SEARCH, 1e-3, 0, 1.0, "fp32", 0, 0, 2))
"""
WAITING = """
import os, threading
from pathlib import Path
def build_waiting(task):
    with (Path(task.folder) / "here").open("w") as fifo:
        fifo.write(f"{os.getpid()}\\n")
    threading.Event().wait()
"""


class TestInlineDriverOfTwoProcesses(WorkerConformance):
    """The trials run in processes of their own: also one that hangs is ended, here too."""

    timeout_s = 45.0

    def make_driver(self, order: WorkOrder) -> Driver:
        return InlineDriver(replace(order, setup=replace(order.setup, num_processes=2)))


def test_they_end_when_whoever_started_them_is_killed(tmp_path: Path) -> None:
    """Both hang; nobody is there to end them, and they go all the same."""
    (tmp_path / "waiting.py").write_text(WAITING)
    fifo = tmp_path / "here"
    os.mkfifo(fifo)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    parent = subprocess.Popen(
        [sys.executable, "-c", WAITS, str(tmp_path)], env={**os.environ, "PYTHONPATH": path}
    )
    found: list[int] = []
    while len(found) < 2:
        found += map(int, fifo.read_text().split())
    handles = [os.pidfd_open(pid) for pid in found]
    parent.kill()
    parent.wait()
    for handle in handles:  # readable once its process has ended
        assert select.select([handle], [], [], 60.0)[0], "a process outlived its parent"
        os.close(handle)
