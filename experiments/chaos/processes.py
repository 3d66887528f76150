"""What can be killed: the driver, its workers, its Ray, and a cluster's nodes."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PROGRAM = str(Path(sys.executable).with_name("stabsearch"))
DONE = re.compile(r"^\[ *(\d+)/\d+\] ", re.MULTILINE)


@dataclass
class Driver:
    """One run of ``stabsearch run``, in a session of its own; a private Ray is in it, too."""

    command: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )

    @property
    def code(self) -> int | None:
        """Return its exit code, None while it runs."""
        return None if self.process is None else self.process.poll()

    @property
    def num_done(self) -> int:
        """Return how many trials its log shows as done, over all runs of the sweep."""
        found = DONE.findall(self.log.read_text(errors="replace"))
        return int(found[-1]) if found else 0

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; Ctrl-C reaches the whole group, as a terminal sends it."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if number is signal.SIGINT else os.kill)(self.process.pid, number)

    def descendants(self) -> list[psutil.Process]:
        """Return every process that it started, however deep."""
        assert self.process is not None
        return below(self.process.pid)


def below(pid: int) -> list[psutil.Process]:
    """Return every living process below this one."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def is_worker(name: str) -> bool:
    """Return whether a process works on trials: Ray names it after the actor."""
    return name.startswith("ray::_Worker")


def is_raylet(name: str) -> bool:
    """Return whether a process is a node's own."""
    return name.split(" ", maxsplit=1)[0].endswith("/raylet")


def is_control_store(name: str) -> bool:
    """Return whether a process is the store that a whole Ray depends on."""
    return name.split(" ", maxsplit=1)[0].endswith("/gcs_server")


def kill_one(processes: list[psutil.Process], wanted: Callable[[str], bool], chance: random.Random) -> bool:
    """Kill one of the wanted processes; False when there is none at the moment."""
    found = sorted((process for process in processes if wanted(name_of(process))), key=lambda each: each.pid)
    if not found:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        chance.choice(found).kill()
    return True


def name_of(process: psutil.Process) -> str:
    """Return a process's command line, empty once it is gone."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
