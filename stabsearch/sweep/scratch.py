"""One folder for everything temporary of a run, gone with it; what a killed run left goes with the next."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "stabsearch-"  # short: the names of sockets have 107 characters in all
LOCK = ".lock"


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder the home of temporary files, of this process and of those that it starts.

    Workers that are killed leave their files there; so does a whole run that is killed, and the next one
    removes them.
    """
    remove_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    before, default = os.environ.get("TMPDIR"), tempfile.tempdir
    with (folder / f"{LOCK}.part").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Path(lock.name).rename(folder / LOCK)  # now that it is held: to others it was never free
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = default
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before
            _remove(folder)


def remove_abandoned(home: Path) -> None:
    """Remove the folders of this user whose process is gone: nobody holds their lock."""
    for folder in home.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with (folder / LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder, its lock last: some of a killed Ray's processes write on for a minute.

    What cannot be removed now is left with its lock, for the next run.
    """
    for path in folder.iterdir():
        if path.name == LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if [path.name for path in folder.iterdir()] == [LOCK]:
        shutil.rmtree(folder, ignore_errors=True)
