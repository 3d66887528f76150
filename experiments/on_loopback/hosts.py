"""Hosts of a Ray cluster that can be powered off: network namespaces, each with its own address and name.

The second one has process numbers, temporary files and shared memory of its own, too. Needs root, and Linux.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

RAY = str(Path(sys.executable).with_name("ray"))
HEAD, WORKER = "10.77.0.1", "10.77.0.2"
PORT = 6379


@dataclass
class Hosts:
    """A head and a worker, connected with each other and with nothing else."""

    name: str
    home: Path
    environment: dict[str, str]
    head: subprocess.Popen[bytes] | None = None
    worker: subprocess.Popen[bytes] | None = None
    logs: list[Path] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Return where drivers join."""
        return f"{HEAD}:{PORT}"

    def start_head(self) -> None:
        """Start the head, with one core."""
        self.head = self._start(
            "a", f"hostname {self.name}a", "--head", "--node-ip-address", HEAD, "--port", str(PORT),
            "--temp-dir", str(self.home), "--include-dashboard", "false",
        )  # fmt: skip
        while not (self.home / "ray_current_cluster").exists():
            assert self.head.poll() is None, self.logs[-1].read_text()
            time.sleep(0.2)

    def start_worker(self) -> None:
        """Start the other host, with one core; returns once it has joined."""
        own = f"hostname {self.name}b; mount -t tmpfs tmpfs {self.home}; mount -t tmpfs tmpfs /dev/shm"
        self.worker = self._start("b", own, "--address", self.address, "--node-ip-address", WORKER)
        while "Ray runtime started" not in (said := self.logs[-1].read_text()):
            assert self.worker.poll() is None, said
            time.sleep(0.2)

    def power_off_worker(self) -> None:
        """End the other host as a power cut does: everything on it, at once."""
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait()

    def inside(self, *command: str) -> list[str]:
        """Return the command that runs another one on the head."""
        assert self.head is not None
        first = psutil.Process(self.head.pid).children()[0]  # the first process of its process numbers
        return ["nsenter", "-t", str(first.pid), "-n", "-p", "-u", "-m", "--", *command]

    def _start(self, host: str, before: str, *options: str) -> subprocess.Popen[bytes]:
        apart = [
            "unshare",
            "-u",
            "-p",
            "-f",
            *(["-m"] if host == "b" else []),
            "--kill-child",
            "--mount-proc",
        ]
        command = [
            "ip", "netns", "exec", f"{self.name}{host}", *apart, "bash", "-c", f'{before}; exec "$@"', "_",
            RAY, "start", *options, "--num-cpus", "1", "--object-store-memory", "100000000",
            "--disable-usage-stats", "--block",
        ]  # fmt: skip
        self.logs.append(self.home.with_name(f"{self.home.name}-{host}{len(self.logs)}.log"))
        with self.logs[-1].open("wb") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )


def can_have_hosts() -> bool:
    """Return whether this process may make network namespaces."""
    return os.geteuid() == 0 and all(map(shutil.which, ("ip", "unshare", "nsenter")))


@contextlib.contextmanager
def hosts() -> Iterator[Hosts]:
    """Make both hosts, the head at work."""
    home = Path(tempfile.mkdtemp(prefix="h-"))
    name = f"s{os.getpid()}"
    environment = {
        **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
        "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # a private Ray here has 0
    }  # fmt: skip
    made = Hosts(name, home, environment)
    try:
        for command in (
            f"netns add {name}a", f"netns add {name}b",
            f"link add {name}v netns {name}a type veth peer name {name}w netns {name}b",
            f"-n {name}a addr add {HEAD}/24 dev {name}v", f"-n {name}b addr add {WORKER}/24 dev {name}w",
            f"-n {name}a link set lo up", f"-n {name}b link set lo up",
            f"-n {name}a link set {name}v up", f"-n {name}b link set {name}w up",
        ):  # fmt: skip
            subprocess.run(["ip", *command.split()], check=True, capture_output=True)
        made.start_head()
        yield made
    finally:
        for process in (made.worker, made.head):
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for host in "ab":
            subprocess.run(["ip", "netns", "del", f"{name}{host}"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)
        for log in made.logs:
            log.unlink(missing_ok=True)
