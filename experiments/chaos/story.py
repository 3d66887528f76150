"""One sweep under kills: run, killed, run again by the same command, until it ends by itself."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from experiments.chaos.processes import (
    PROGRAM,
    Driver,
    below,
    is_control_store,
    is_raylet,
    is_worker,
    kill_one,
    name_of,
)
from experiments.on_loopback.servers import Server

SWEEP = """
name: chaos
output_dir: {home}/runs
seed: {seed}
task: {{type: quickstart, hidden_size: 16, num_rows: 128}}
training: {{max_steps: 4000, per_device_train_batch_size: 8}}
search:
  learning_rate: {{low: 1.0e-4, high: 10.0}}
  warmup: [0]
  max_grad_norm: [1.0]
  precision: [fp32, bf16]
  tolerance: null
budget: {{trials: {trials}, horizon: 100, concurrency: 2, trial_attempts: 50}}
risk: {{confirmation_trials: 0}}
resources: {{address: "{address}"}}
tracking: {{uri: "{tracker}", required: false}}
"""
"""The whole budget is spent on the search, so that every sweep has the same number of trials."""

LOCAL = {
    "driver: SIGKILL": 4, "driver: SIGTERM": 1, "driver: SIGINT": 1, "worker": 6, "raylet": 1,
    "control store": 1, "tracking server": 3,
}  # fmt: skip
"""What is killed, and how often beside the others: a private Ray, whose end is that of the run."""
CLUSTER = {"driver: SIGKILL": 2, "driver: SIGTERM": 1, "worker": 4, "node": 5, "tracking server": 2}
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
IN_TRIALS = 0.8
"""Share of runs that are left alone while they start: there the worker and node kills find nothing."""
LONGEST_S = 900.0
"""A run that neither ends nor gets a trial done for so long hangs."""


class HangsError(AssertionError):
    """A sweep that does not get on."""


@dataclass
class Nodes:
    """The killable nodes of a cluster, one at a time: the head stays."""

    address: str
    add: Callable[[], int]
    """Starts one, and returns its process id."""
    environment: dict[str, str] = field(default_factory=dict)
    pid: int = 0

    def start(self) -> None:
        """Have a node there."""
        if not self.pid or not psutil.pid_exists(self.pid):
            self.pid = self.add()

    def processes(self) -> list[psutil.Process]:
        """Return everything that runs on it."""
        return below(self.pid) if self.pid else []

    def kill(self) -> bool:
        """Power it off: all its processes are gone at once. Another one comes in its place."""
        if not any(is_raylet(name_of(process)) for process in self.processes()):
            return False
        for process in [*self.processes(), psutil.Process(self.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.pid = 0
        self.start()
        return True


@dataclass
class Story:
    """What happened to one sweep."""

    folder: Path
    seed: int
    trials: int
    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    codes: list[int] = field(default_factory=list)
    """Exit codes of all its runs; negative: the signal that ended one."""


def play(
    home: Path, seed: int, trials: int, max_kills: int, tracker: Server, nodes: Nodes | None = None,
    mean_s: float = 3.0,
) -> Story:  # fmt: skip
    """Return a sweep's story: up to ``max_kills`` kills at random moments, then it is left alone.

    Args:
        home: an empty folder.
        seed: of what is killed and when; the machine decides what that meets.
        trials: budget of the sweep.
        max_kills: kills, fewer where the sweep is over before.
        tracker: MLflow server, at work; it is started again after each of its kills.
        nodes: of a cluster; None: the sweep has a private Ray.
        mean_s: seconds between kills, exponentially distributed.
    """
    chance = random.Random(seed)
    address = nodes.address if nodes else "local"
    home.mkdir(parents=True, exist_ok=True)
    (home / "sweep.yaml").write_text(
        SWEEP.format(home=home, seed=seed, trials=trials, address=address, tracker=tracker.url)
    )
    story = Story(home / "runs" / "chaos", seed, trials)
    kinds = CLUSTER if nodes else LOCAL
    while True:
        log = home / f"run{story.runs}.log"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **(nodes.environment if nodes else {})}
        driver = Driver([PROGRAM, "run", str(home / "sweep.yaml")], log, environment)
        driver.start()
        story.runs += 1
        _disturb(driver, story, chance, kinds, max_kills, tracker, nodes, mean_s)
        code = _ended(driver)
        story.codes.append(code)
        if code in {0, 1, 2} and not _goes_on(log):
            return story


def _goes_on(log: Path) -> bool:
    """Return whether a run ended because its Ray did, or because the next node had not come yet."""
    said = log.read_text(errors="replace")
    return "goes on where it stopped" in said or "no room for a single trial" in said


def _disturb(
    driver: Driver, story: Story, chance: random.Random, kinds: dict[str, int], max_kills: int,
    tracker: Server, nodes: Nodes | None, mean_s: float,
) -> None:  # fmt: skip
    """Kill things at random moments until the run is over, or enough was killed."""
    if chance.random() < IN_TRIALS and not _wait_for_trials(driver):
        return
    while story.kills.total() < max_kills:
        if not _wait(driver, chance.expovariate(1 / mean_s)):
            return
        kind = chance.choices(list(kinds), list(kinds.values()))[0]
        if _kill(kind, driver, chance, tracker, nodes):
            story.kills[kind] += 1


def _wait_for_trials(driver: Driver) -> bool:
    """Return True once this run has ended its first trial, False once it is over."""
    while driver.code is None:
        if driver.num_done:
            return True
        time.sleep(0.05)
    return False


def _kill(kind: str, driver: Driver, chance: random.Random, tracker: Server, nodes: Nodes | None) -> bool:
    if kind.startswith("driver"):
        driver.send(SIGNALS[kind.split(": ")[1]])
        return True
    if kind == "tracking server":
        tracker.kill()
        tracker.start_soon()
        return True
    if kind == "node":
        return nodes is not None and nodes.kill()
    wanted = {"worker": is_worker, "raylet": is_raylet, "control store": is_control_store}[kind]
    processes = nodes.processes() if nodes else driver.descendants()
    return kill_one(processes, wanted, chance)


def _wait(driver: Driver, seconds: float) -> bool:
    """Return False once the run is over, True after so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if driver.code is not None:
            return False
        time.sleep(0.05)
    return driver.code is None


def _ended(driver: Driver) -> int:
    """Return the exit code of a run that is left alone.

    Raises:
        HangsError: nothing was done for too long; everything of it is ended.
    """
    last, since = -1, time.monotonic()
    while (code := driver.code) is None:
        if driver.num_done != last:
            last, since = driver.num_done, time.monotonic()
        if time.monotonic() - since > LONGEST_S:
            for process in driver.descendants():
                process.kill()
            driver.send(signal.SIGKILL)
            raise HangsError(f"nothing done for {LONGEST_S:g} s: {driver.log}")
        time.sleep(0.2)
    return code
