"""One method measured from outside: wall time, memory of all its processes, and what its trials noted."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from experiments.speed_benchmark.events import Trained, told
from experiments.speed_benchmark.setting import Setting

LOOK_EVERY_S = 0.5
TIMEOUT_S = 3600


@dataclass(frozen=True)
class Measured:
    """What a method took."""

    name: str
    wall_s: float
    """From the start of its command to its end."""
    began: float
    """Start of the command, seconds since the epoch."""
    peak_bytes: int
    """Largest proportional set size of all its processes together."""
    trained: tuple[Trained, ...]

    @property
    def trials_per_minute(self) -> float:
        """Return finished trials per minute of the whole command."""
        return 60 * len(self.trained) / self.wall_s

    @property
    def first_trial_s(self) -> float:
        """Return how long the user waited for the first step of the first trial."""
        return min(trained.first_step for trained in self.trained) - self.began

    def share_of_command(self, slots: int) -> float:
        """Return the share of all slots' wall time that was spent in training steps."""
        return sum(trained.seconds for trained in self.trained) / (slots * self.wall_s)

    def share_while_running(self, slots: int) -> float:
        """Return the same share from the first trial's first step to the last trial's last step."""
        first = min(trained.first_step for trained in self.trained)
        last = max(trained.last_step for trained in self.trained)
        return sum(trained.seconds for trained in self.trained) / (slots * (last - first))

    def share_of_workers(self) -> float:
        """Return the share of workers' time in steps, each from its first step to its last of all its trials.

        NaN where every trial has a process of its own: such a worker has no time between trials.
        """
        spans: dict[str, list[Trained]] = {}
        for trained in self.trained:
            spans.setdefault(trained.worker, []).append(trained)
        if max(map(len, spans.values())) == 1:
            return math.nan
        whole = sum(
            max(t.last_step for t in each) - min(t.first_step for t in each) for each in spans.values()
        )
        return sum(trained.seconds for trained in self.trained) / whole

    def gaps_s(self, slots: int) -> list[float]:
        """Return the time from a trial's end to the next trial's first step in the slot that it freed.

        Workers may be replaced between trials: a slot is whatever has been free for longest.
        """
        ends: list[float] = []
        found = []
        for trained in self.trained:
            free = sorted(end for end in ends if end <= trained.first_step)
            if len(ends) >= slots and free:
                found.append(trained.first_step - free[0])
                ends.remove(free[0])
            ends.append(trained.last_step)
        return found


def measure(name: str, module: str, setting: Setting) -> Measured:
    """Return what a method took, run in processes and a folder of its own.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="speed-") as place:
        folder = Path(place)
        setting.save(folder)
        log = folder / "log.txt"
        command = [sys.executable, "-m", "experiments.speed_benchmark.method", module, str(folder)]
        threads = {} if module == "hf_optuna" else {"OMP_NUM_THREADS": "1"}
        began = time.time()
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **threads}, start_new_session=True
            )
            watcher = _Memory(process.pid)
            watcher.start()
            code = process.wait(TIMEOUT_S)
        wall_s = time.time() - began
        watcher.stop.set()
        watcher.join()
        if code:
            raise RuntimeError(f"{name} ended with {code}:\n{log.read_text(encoding='utf-8')[-2000:]}")
        return Measured(name, wall_s, began, watcher.peak_bytes, tuple(told(folder)))


class _Memory(threading.Thread):
    """Looks at the memory of a session's processes again and again."""

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.peak_bytes = 0
        self._session = session

    def run(self) -> None:
        while not self.stop.wait(LOOK_EVERY_S):
            self.peak_bytes = max(self.peak_bytes, sum(map(_proportional_bytes, _family(self._session))))


def _family(root: int) -> list[int]:
    """Return a process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def num_processes(trained: tuple[Trained, ...]) -> int:
    """Return how many processes trained."""
    return len({one.worker for one in trained})


def median_gap_s(gaps_s: list[float]) -> float:
    """Return the middle gap; NaN without any."""
    return statistics.median(gaps_s) if gaps_s else math.nan
