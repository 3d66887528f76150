"""The end of the Ray that a sweep depends on, noticed before Ray ends this process because of it.

A driver whose raylet or control store is gone is ended by Ray's own library, after 10 to 60 seconds, with
exit code 1, which means something else here. Until then it may stand inside that library, where no signal and
no exception reaches it: it is left where it stands.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import ray
from ray._private import worker

from stabsearch.errors import UserError
from stabsearch.trial.temporary import is_over

LOOKS_EVERY_S = 0.5  # chosen: a raylet's end is noticed by Ray's library some seconds later
LEAVES_WITHIN_S = 5.0  # chosen: Tune asks for the next trial ten times a second, unless it stands inside Ray
UNREACHABLE_S = 40.0  # Ray gives up its control store after 60 s; one that restarts may be back before
CURSOR = "\x1b[?25h\n"
"""A live view hides it."""
WAY_OUT = "the same command goes on where it stopped"


@contextmanager
def watched(is_own: bool, gone: Callable[[UserError], None]) -> Iterator[None]:
    """Look after Ray meanwhile, from a thread.

    Args:
        is_own: whether it is a private Ray, whose processes this one started.
        gone: called once, when it is no more.
    """
    over = threading.Event()
    look = _own_look() if is_own else _cluster_look()
    thread = threading.Thread(target=_watch, args=(look, gone, over), name="stabsearch-ray", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(look: Callable[[], str], gone: Callable[[UserError], None], over: threading.Event) -> None:
    while not over.wait(LOOKS_EVERY_S):
        if problem := look():
            error = UserError(problem, WAY_OUT)
            gone(error)
            if not over.wait(LEAVES_WITHIN_S):
                _leave(error)
            return


def _leave(error: UserError) -> None:
    """End this process as it stands: the study is whole, and the next run puts the rest in order."""
    worker._global_node.kill_all_processes(check_alive=False, allow_graceful=False)
    shown = f"{CURSOR}{error}" if sys.stderr.isatty() else str(error)
    os.write(2, f"{shown}\n".encode())
    os._exit(error.exit_code)


def _own_look() -> Callable[[], str]:
    """Return what names the process of a private Ray that ended; empty while all are there."""
    node = worker._global_node

    def look() -> str:
        ended = [kind for kind, process in node.dead_processes() if kind in {"raylet", "gcs_server"}]
        return f"Ray on this machine has ended: its {ended[0]} is gone" if ended else ""

    return look


def _cluster_look(clock: Callable[[], float] = time.monotonic) -> Callable[[], str]:
    """Return what says that this node's raylet has gone, or that the control store has been silent for long.

    Empty while both are there.
    """
    address = ray.get_runtime_context().gcs_address
    host, port = address.rsplit(":", 1)
    raylet, silent_since = _raylet(worker._global_node.raylet_socket_name), None

    def look() -> str:
        nonlocal silent_since
        if raylet is not None and is_over(raylet):
            return "Ray on this machine has ended: its raylet is gone"
        try:
            with closing(socket.create_connection((host.strip("[]"), int(port)), timeout=LOOKS_EVERY_S)):
                silent_since = None
        except OSError:
            silent_since = clock() if silent_since is None else silent_since
        is_gone = silent_since is not None and clock() - silent_since >= UNREACHABLE_S
        return f"the Ray cluster at {address} does not answer any more" if is_gone else ""

    return look


def _raylet(socket_name: str) -> psutil.Process | None:
    """Return the process of the raylet that listens there; None where its processes cannot be seen."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, ValueError):
            program, *options = process.cmdline()
            if Path(program).name == "raylet" and any(socket_name in option for option in options):
                return process
    return None
