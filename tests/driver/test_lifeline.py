"""The end of the Ray that a sweep depends on, as its driver notices it."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from stabsearch.driver.environment import prepare
from stabsearch.errors import UserError

LEAVES = """
from types import SimpleNamespace
from stabsearch.driver import lifeline
from stabsearch.errors import UserError
ended = []
lifeline.worker._global_node = SimpleNamespace(
    dead_processes=lambda: [("log_monitor", None), ("raylet", None)],
    kill_all_processes=lambda **options: print("its Ray is ended", options, flush=True),
)
lifeline.LEAVES_WITHIN_S = 0.1
with lifeline.watched(True, lambda error: print("told", error.message, flush=True)):
    while True:
        pass  # inside of Ray's library, which nothing reaches
"""


@pytest.fixture
def lifeline(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, whose looks follow each other at once; Ray reads its environment when it is imported."""
    prepare(is_local=True)
    from stabsearch.driver import lifeline

    monkeypatch.setattr(lifeline, "LOOKS_EVERY_S", 0.01)
    return lifeline


def own(lifeline: Any, monkeypatch: pytest.MonkeyPatch, *dead: str) -> None:
    """Have a private Ray of which these processes have ended."""
    node = SimpleNamespace(dead_processes=lambda: [(kind, None) for kind in dead])
    monkeypatch.setattr(lifeline.worker, "_global_node", node)


@pytest.mark.parametrize("kind", ["raylet", "gcs_server"])
def test_the_end_of_a_private_ray_is_told_once(
    lifeline: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two lines; a run that ends by itself then is left alone."""
    own(lifeline, monkeypatch, "dashboard", kind)
    left: list[UserError] = []
    monkeypatch.setattr(lifeline, "_leave", left.append)
    told: list[UserError] = []
    came = threading.Event()

    def gone(error: UserError) -> None:
        told.append(error)
        came.set()

    with lifeline.watched(True, gone):
        assert came.wait(10)
    assert [error.message for error in told] == [f"Ray on this machine has ended: its {kind} is gone"]
    assert told[0].hint == "the same command goes on where it stopped"
    assert left == []
    assert "stabsearch-ray" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("dead", [[], ["dashboard", "log_monitor", "monitor"]])
def test_what_ray_can_do_without_is_no_end(
    lifeline: Any, dead: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own(lifeline, monkeypatch, *dead)
    assert lifeline._own_look()() == ""


def test_a_run_that_does_not_end_by_itself_is_left_where_it_stands() -> None:
    """Exit code 2, two lines, and its Ray is ended with it."""
    left = subprocess.run(
        [sys.executable, "-c", LEAVES], capture_output=True, text=True, timeout=60, check=False
    )
    assert left.returncode == 2
    assert left.stdout.splitlines() == [
        "told Ray on this machine has ended: its raylet is gone",
        "its Ray is ended {'check_alive': False, 'allow_graceful': False}",
    ]
    assert left.stderr.splitlines() == [
        "Ray on this machine has ended: its raylet is gone", "  the same command goes on where it stopped",
    ]  # fmt: skip


def test_a_cluster_is_given_up_once_it_was_silent_for_long(
    lifeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control store that is restarted meanwhile is one that was there all the time."""
    clock = Clock()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        joined(lifeline, monkeypatch, port)
        look = lifeline._cluster_look(clock)
        assert look() == ""
    for clock.now in (50.0, 50.0 + lifeline.UNREACHABLE_S - 1):
        assert look() == ""
    with socket.create_server(("127.0.0.1", port)):
        assert look() == ""
    for clock.now in (100.0, 100.0 + lifeline.UNREACHABLE_S - 1):
        assert look() == ""
    clock.now += 1
    assert look() == f"the Ray cluster at 127.0.0.1:{port} does not answer any more"


def test_the_raylet_of_the_drivers_own_node_is_looked_after(
    lifeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's library ends a driver without it, whatever the rest of the cluster does."""
    sleeps = ["raylet", "-c", "import time; time.sleep(600)", "--raylet_socket_name=/tmp/s/raylet"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        joined(lifeline, monkeypatch, server.getsockname()[1])
        with subprocess.Popen(sleeps, executable=sys.executable) as raylet:
            try:
                look = lifeline._cluster_look()
                assert look() == ""
            finally:
                raylet.kill()
        assert look() == "Ray on this machine has ended: its raylet is gone"
        assert lifeline._cluster_look()() == ""  # where it cannot be seen, nothing is said of it


def joined(lifeline: Any, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Have a driver that joined the cluster at this port."""
    context: Any = SimpleNamespace(gcs_address=f"127.0.0.1:{port}")
    monkeypatch.setattr(lifeline.ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(lifeline.worker, "_global_node", SimpleNamespace(raylet_socket_name="/tmp/s/raylet"))


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now
