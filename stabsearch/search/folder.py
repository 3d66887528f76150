"""The folder of a sweep: one driver at a time, one sweep per folder."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

from stabsearch.config import Sweep
from stabsearch.config.load import load_as_written
from stabsearch.config.write import difference, resolved_text
from stabsearch.errors import UserError
from stabsearch.search.journal import WAY_OUT

Resume = Literal["auto", "must", "never"]
RESOLVED = "sweep.resolved.yaml"
LOCK = ".lock"
RESULTS = frozenset({".csv", ".html", ".journal", ".json", ".md", ".parquet", ".png", ".yaml"})
"""Endings of the files that a sweep writes."""
_PAUSES_S = (0.05, 0.1, 0.2, 0.4)


class SweepFolder:
    """``<output_dir>/<name>/`` and who may write there.

    Args:
        sweep: names the folder.
        resume: ``auto`` goes on with what is there, ``must`` needs something to go on with,
            ``never`` needs an unused folder.
    """

    def __init__(self, sweep: Sweep, resume: Resume = "auto") -> None:
        self.sweep, self.resume = sweep, resume
        self.path = Path(sweep.output_dir) / sweep.name

    @property
    def holds_a_sweep(self) -> bool:
        """True when a sweep was begun here."""
        return (self.path / RESOLVED).exists()

    def check(self) -> None:
        """Raise when this sweep may not be begun or go on here; writes nothing.

        Raises:
            UserError: a different sweep is here, nothing to resume, something to resume that must
                not be, or no right to write.
        """
        if self.resume == "must" and not self.holds_a_sweep:
            raise UserError(f"nothing to resume in {self.path}", "start it with --resume auto")
        if self.holds_a_sweep:
            self._check_same()
            self._check_plain()
        self._check_writable()

    def _check_same(self) -> None:
        if self.resume == "never":
            hint = "choose another name, or --resume auto to go on with it"
            raise UserError(f"{self.path} holds a sweep already", hint, key=("name",))
        if not (self.path / RESOLVED).is_file():
            raise UserError(f"{self.path / RESOLVED} is no plain file", WAY_OUT)
        there = load_as_written(self.path / RESOLVED).sweep  # its files may be where a job had them
        changed = difference(there, self.sweep)
        if changed:
            more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
            raise UserError(f"{self.path} holds a different sweep: {changed[0]}{more}",
                            "choose another name or output_dir, or set it back", key=("name",))  # fmt: skip

    def _check_plain(self) -> None:
        """Raise where a folder or a link stands in the place of a result, before anything is written."""
        for path in self.path.iterdir():
            if path.suffix in RESULTS and not path.is_file():
                raise UserError(f"{path} is no plain file, and in the way of a result", "move it away")

    def _check_writable(self) -> None:
        nearest = self.path
        while not nearest.exists():
            nearest = nearest.parent
        if not nearest.is_dir():
            raise UserError(
                f"{nearest} is a file, not a folder", "choose another output_dir", key=("output_dir",)
            )
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise UserError(
                f"no right to write into {nearest}", "choose another output_dir", key=("output_dir",)
            )

    @contextmanager
    def locked(self) -> Iterator[Path]:
        """Hold the folder for one driver, and return its path; raises as the function of this name does."""
        with locked(self.path):
            yield self.path

    def write_resolved(self) -> None:
        """Save the sweep as it was understood, beside its results."""
        part = self.path / f".{RESOLVED}.part"
        part.unlink(missing_ok=True)
        with part.open("x", encoding="utf-8") as file:  # which follows no link
            file.write(resolved_text(self.sweep))
        part.replace(self.path / RESOLVED)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a sweep's folder for one process that writes; a dead process does not hold it.

    Raises:
        UserError: another one is at work here; names its process and host.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = own_file(path / LOCK)
    except OSError as error:
        raise UserError(f"cannot write into {path}: {error.strerror or error}", "choose another output_dir",
                        key=("output_dir",)) from None  # fmt: skip
    with held(lock, str(path)):
        yield


@contextmanager
def held(lock: TextIO, place: str) -> Iterator[None]:
    """Hold a lock file for this process, and close it.

    Args:
        lock: the file; who holds it is written there.
        place: what it stands for.

    Raises:
        UserError: another process holds it.
    """
    with lock:
        if not _held(lock):
            lock.seek(0)
            raise in_use(place, lock.read(200).strip())
        lock.truncate(0)
        lock.write(whoami())
        lock.flush()
        yield


def whoami() -> str:
    """Return this process as others are told of it."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def in_use(place: str, owner: str) -> UserError:
    """Return the error of what another process is at work on."""
    return UserError(f"{place} is in use by {owner or 'another process'}", "wait for it, or stop it first")


def own_file(path: Path) -> TextIO:
    """Open a file that is to be written, new or a plain one: never through a link or into a pipe.

    Raises:
        OSError: something else is there.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"{path.name} is no plain file")
    return os.fdopen(descriptor, "a+", encoding="utf-8", errors="replace")


def _held(lock: TextIO) -> bool:
    """Return whether the lock is ours now; somebody who only looks holds it for an instant."""
    for pause_s in (*_PAUSES_S, None):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if pause_s is None:
                return False
            time.sleep(pause_s)
        except OSError as error:
            message = f"the file system of {lock.name} has no locks: {error.strerror}"
            raise UserError(message, "choose an output_dir on another one", key=("output_dir",)) from None
        else:
            return True
    return False


def is_locked(path: Path) -> bool:
    """Return whether a driver is at work in a sweep's folder on this machine."""
    lock = path / LOCK
    if not lock.is_file():
        return False
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
