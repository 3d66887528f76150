"""Temporary folders that do not outlive their process for long: what a killed one left goes with the next."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

PREFIX = "stabsearch-"  # short: the names of sockets have 107 characters in all
LOCK = ".held"  # not .lock: a store of bad batches, which may stand there, has one of its own
ENDS_WITHIN_S = 5.0  # chosen: a killed process takes as long as its memory takes to be given back


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that this process holds, removed at the end, or after this process is gone by the next one.

    Also on the nodes of a cluster, where no driver of a sweep looks.
    """
    remove_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with (folder / f"{LOCK}.part").open("w") as lock:
        with contextlib.suppress(OSError):  # a file system without locks: nobody else will remove it then
            fcntl.flock(lock, fcntl.LOCK_EX)
            Path(lock.name).rename(folder / LOCK)  # now that it is held: to others it was never free
        try:
            yield folder
        finally:
            _remove(folder)


def remove_abandoned(home: Path) -> None:
    """Remove the folders of this user whose process is gone: nobody holds their lock.

    What is left of its Ray is ended before: a worker that was just starting makes the folder anew.
    """
    for folder in home.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with (folder / LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                end_processes_of(folder)
                _remove(folder)


def end_processes_of(folder: Path) -> None:
    """End the processes that were started with that folder for their temporary files."""
    while left := [process for process in psutil.process_iter() if _home_of(process) == str(folder)]:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        until = time.monotonic() + ENDS_WITHIN_S
        while not all(map(is_over, left)):
            if time.monotonic() > until:
                return
            time.sleep(0.01)


def _home_of(process: psutil.Process) -> str | None:
    """Return where a process was told to put temporary files, None where that cannot be said."""
    try:
        return process.environ().get("TMPDIR")
    except psutil.Error:  # another user's, or over
        return None


def is_over(process: psutil.Process) -> bool:
    """Return whether a process has ended, also when nobody asked for its exit code yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _remove(folder: Path) -> None:
    """Remove a folder, its lock last: a process that could not be ended may write on.

    What cannot be removed now is left with its lock, for the next run.
    """
    for path in folder.iterdir():
        if path.name == LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if {path.name for path in folder.iterdir()} <= {LOCK}:
        shutil.rmtree(folder, ignore_errors=True)
