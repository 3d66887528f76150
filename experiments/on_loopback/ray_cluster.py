"""A real Ray cluster on loopback: a head with its job server, further nodes, and commands sent to it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.on_loopback.ports import free_ports

BIN = Path(sys.executable).parent
TOKEN = "0123456789abcdef" * 4
NO_PYTHON = "/usr/sbin:/usr/bin:/sbin:/bin"
"""A path on which there is no Python with Ray: what a job starts with has to be found otherwise."""


@dataclass
class RayCluster:
    """A head at work, every listener of it on loopback; others need the token."""

    home: Path
    port: int
    url: str
    environment: dict[str, str]
    """For every process that has to do with the cluster."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Return the address that drivers join by."""
        return f"127.0.0.1:{self.port}"

    def add_node(self, *options: str) -> subprocess.Popen[bytes]:
        """Start one more node, which joins soon."""
        return self._start(["start", "--address", self.address, *_common(), *options])

    def command(
        self, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Return ``stabsearch`` with these arguments, ended."""
        with self.started(*arguments, cwd=cwd, env=env) as process:
            out, err = process.communicate()
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def started(
        self, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Return ``stabsearch`` with these arguments, at work."""
        return subprocess.Popen(
            [str(BIN / "stabsearch"), *arguments], cwd=cwd, env={**self.environment, **(env or {})},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def python(self, code: str) -> Any:
        """Return the JSON that a program prints, run in a process of its own; Ray may say more after it."""
        done = subprocess.run(
            [sys.executable, "-c", code], env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads([line for line in done.stdout.splitlines() if line[:1] in {"[", "{"}][-1])

    def asked(self, path: str, token: str | None = TOKEN) -> tuple[int, str]:
        """Return status and text of an answer of the job server."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.home / f"node{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(BIN / "ray"), *command], env={**self.environment, "PATH": NO_PYTHON},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def wait_until_up(self) -> None:
        """Return once the job server answers and lets its own people in."""
        while True:
            assert self.processes[0].poll() is None, (self.home / "node0.log").read_text()
            with contextlib.suppress(OSError):
                if self.asked("/api/jobs/")[0] == 200:
                    return
            time.sleep(0.2)

    def end(self) -> None:
        """End every node, the head last."""
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            with contextlib.suppress(ProcessLookupError):  # nodes that its autoscaler started, too
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def ray_cluster(
    *options: str, variables: Mapping[str, str] | None = None, port: int = 0
) -> Iterator[RayCluster]:
    """Run a head on loopback; yields once its job server answers."""
    home = Path(tempfile.mkdtemp(prefix="rc-"))  # short: sockets have their names below it
    free, dashboard, client = free_ports(3)
    port = port or free
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # every listener on loopback
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0", "RAY_TMPDIR": str(home), "OMP_NUM_THREADS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true", **(variables or {}),
    }  # fmt: skip
    cluster = RayCluster(home, port, f"http://127.0.0.1:{dashboard}", environment)
    cluster._start([
        "start", "--head", "--port", str(port), "--dashboard-host", "127.0.0.1", "--dashboard-port",
        str(dashboard), "--ray-client-server-port", str(client), "--temp-dir", str(home), *_common(),
        *options,
    ])  # fmt: skip
    try:
        cluster.wait_until_up()
        yield cluster
    finally:
        cluster.end()
        shutil.rmtree(home, ignore_errors=True)


def _common() -> list[str]:
    return [
        "--node-ip-address", "127.0.0.1", "--object-store-memory", "100000000", "--disable-usage-stats",
        "--min-worker-port", "0", "--max-worker-port", "0", "--dashboard-agent-listen-port", "0", "--block",
    ]  # fmt: skip
