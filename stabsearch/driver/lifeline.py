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
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import ray
from ray._private import worker

from stabsearch.errors import UserError

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


def _cluster_look() -> Callable[[], str]:
    """Return what says that a cluster's control store has not answered for long; empty while it does."""
    address = ray.get_runtime_context().gcs_address
    host, port = address.rsplit(":", 1)
    failures = 0

    def look() -> str:
        nonlocal failures
        try:
            with closing(socket.create_connection((host.strip("[]"), int(port)), timeout=LOOKS_EVERY_S)):
                failures = 0
        except OSError:
            failures += 1
        is_gone = failures * LOOKS_EVERY_S >= UNREACHABLE_S
        return f"the Ray cluster at {address} does not answer any more" if is_gone else ""

    return look
