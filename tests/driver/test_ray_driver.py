"""Trials on real Ray workers."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from stabsearch.driver.base import Driver, WorkOrder
from stabsearch.driver.environment import prepare
from stabsearch.driver.interrupts import STOPS
from stabsearch.testing.driver_conformance import Drive, WorkerConformance

pytestmark = pytest.mark.ray
BEFORE = [signal.getsignal(stop) for stop in STOPS]
"""As this process was started: a shell starts what it runs in the background with SIGINT ignored."""


class TestRayTuneDriver(WorkerConformance):
    """Two warm workers, replaced when they die."""

    def make_driver(self, order: WorkOrder) -> Driver:
        prepare(is_local=True)
        from stabsearch.driver.ray_tune import RayTuneDriver

        return RayTuneDriver(order, concurrency=2)

    def test_workers_see_the_thread_limit_in_their_environment(self, drive: Drive) -> None:
        """Libraries that read OMP_NUM_THREADS at import get the number too."""
        assert {note["threads"]["omp"] for note in drive.task.notes("start")} == {"1"}

    def test_no_process_of_ours_remains(self, drive: Drive) -> None:
        """The private Ray ends with the run: its services and its workers are gone."""
        workers = {note["pid"] for note in drive.task.notes("start")}
        assert not [pid for pid in workers if _is_alive(pid)]
        assert not [text for text in _children() if "raylet" in text or "gcs_server" in text]

    def test_signals_are_given_back(self, drive: Drive) -> None:
        """Ray takes SIGTERM for itself; afterwards everything is as it was."""
        assert [signal.getsignal(stop) for stop in STOPS] == BEFORE


def _is_alive(pid: int) -> bool:
    return _stat(Path(f"/proc/{pid}/stat"))[0] not in {"", "Z"}


def _children() -> list[str]:
    commands = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        state, parent = _stat(stat)
        if parent == str(os.getpid()) and state != "Z":
            with contextlib.suppress(OSError):
                commands.append(stat.with_name("cmdline").read_text())
    return commands


def _stat(path: Path) -> tuple[str, str]:
    """Return state and parent of a process, empty when there is none."""
    try:
        fields = path.read_text().rsplit(")", 1)[1].split()
    except OSError:
        return "", ""
    return fields[0], fields[1]
