"""A connection to Ray for the time of a sweep: to a cluster, or to a private Ray that is started for it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from stabsearch.driver.environment import cores, worker_variables
from stabsearch.driver.interrupts import undisturbed
from stabsearch.driver.privacy import keep_credentials, where_we_look
from stabsearch.driver.reaching import check_reachable
from stabsearch.errors import UserError

LONGEST_SOCKET = 107  # characters of a path, on Linux
SOCKET = "/session_2026-01-01_00-00-00_000000_{pid}/sockets/plasma_store"


@contextmanager
def started(address: str, num_threads: int, folder: Path) -> Iterator[None]:
    """Connect to Ray for the time of a sweep; a private Ray ends with it.

    Args:
        address: ``local``, or the cluster's.
        num_threads: of every worker.
        folder: where a private Ray writes its session, logs and all; whoever made it removes it.
    """
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    logging.getLogger("ray").setLevel(logging.ERROR)
    _connect(address, worker_variables(num_threads), folder)
    try:
        yield
    finally:
        with undisturbed():  # half shut down, Ray would leave processes behind
            ray.shutdown(wait_for_processes=True)


def _connect(address: str, variables: dict[str, str], folder: Path) -> None:
    """Join the cluster, or start a private Ray.

    Workers of a private Ray inherit their variables: a ``runtime_env`` would cost some seconds, in which a
    process of its own prepares it and the workers that Ray has started already go unused.

    Args:
        address: ``local``, or the cluster's.
        variables: environment of every worker.
        folder: for the session of a private Ray.

    Raises:
        UserError: no cluster there, or Ray does not start on this machine.
        KeyboardInterrupt: SIGTERM came meanwhile.
    """
    keep_credentials()
    is_own = address == "local"
    own: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False, **_home(folder)} if is_own else {}
    if not address.startswith("ray://"):  # whose other end may not know our classes
        own["job_config"] = where_we_look()
    try:
        if not is_own:
            check_reachable(address)
        with _inherited(variables if is_own else {}):
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
                runtime_env={} if is_own else {"env_vars": variables},
                **own,
            )
    except SystemExit:  # Ray's own way with SIGTERM, which it takes for itself while it starts
        raise KeyboardInterrupt from None
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _not_connected(address, str(error).splitlines()[0]) from None
    except Exception as error:
        if type(error) is not Exception:
            raise
        # Ray's own, where its node is not up in time: on a machine that is very busy
        raise _not_connected(address, str(error).partition(". ")[0]) from None


def _home(folder: Path) -> dict[str, str]:
    """Return where a private Ray keeps its session: Ray's own place where names of sockets would not fit."""
    longest = len(str(folder)) + len(SOCKET.format(pid=os.getpid()))
    return {"_temp_dir": str(folder)} if longest <= LONGEST_SOCKET else {}


@contextmanager
def _inherited(variables: dict[str, str]) -> Iterator[None]:
    """Have processes that are started meanwhile see these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _not_connected(address: str, reason: str) -> UserError:
    key = ("resources", "address")
    if address == "local":
        hint = "look into the session's logs in Ray's temporary folder, or set resources.driver: inline"
        return UserError(f"Ray does not start on this machine: {reason}", hint, key=key)
    return UserError(f"no Ray cluster at {address!r}: {reason}", "start one, or use address: local", key=key)
