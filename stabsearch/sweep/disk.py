"""What a sweep takes on disk, and that it stops before a disk is full."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stabsearch.errors import UserError
from stabsearch.report.disk import bytes_below, size_text
from stabsearch.sweep.setting_up import BAD_BATCHES

GIB = 2**30
KEPT_FREE = 64 * 2**20
"""Chosen: room for the study, the reports and MLflow's database, bytes."""
LOOKS_EVERY_S = 2.0  # chosen: far below the time in which trials of any size could fill a disk's last GiB
FULL = {errno.ENOSPC: "is full", errno.EDQUOT: "is full", errno.EROFS: "became read-only", errno.EIO: "fails"}


@dataclass(frozen=True)
class DiskUse:
    """What a sweep takes on disk, bytes."""

    folder: int
    """The sweep's folder, all of it."""
    bad_batches: int
    """What it holds of first bad batches."""
    peak: int
    """Most that folder and temporary files were seen to take together; the latter are gone by the end."""


class DiskWatch:
    """Says when a sweep may start no further trial, for lack of disk.

    Args:
        folder: the sweep's; its size counts.
        scratch: everything temporary of this run; its size counts too.
        max_gib: what both may take together, GiB; None: as much as there is.
        clock: seconds, monotonic; a look costs some milliseconds and is taken every other second.
    """

    def __init__(
        self, folder: Path, scratch: Path, max_gib: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._scratch, self._max_gib, self._clock = folder, scratch, max_gib, clock
        self._looked: float | None = None
        self._problem: UserError | None = None
        self._peak = 0

    @property
    def use(self) -> DiskUse:
        """Return what is taken now, and was at most."""
        folder = bytes_below(self._folder)
        self._peak = max(self._peak, folder + bytes_below(self._scratch))
        return DiskUse(folder, bytes_below(self._folder / BAD_BATCHES), self._peak)

    def problem(self) -> UserError | None:
        """Return why nothing more may be started, None while there is room; without room it stays so."""
        now = self._clock()
        if self._problem is None and (self._looked is None or now - self._looked >= LOOKS_EVERY_S):
            self._looked = now
            self._problem = self._lack()
        return self._problem

    def _lack(self) -> UserError | None:
        taken = bytes_below(self._folder) + bytes_below(self._scratch)
        self._peak = max(self._peak, taken)
        if self._max_gib is not None and taken > self._max_gib * GIB:
            message = f"{self._folder} and temporary files take {size_text(taken)} of {self._max_gib:g} GiB"
            return UserError(message, "raise it, or lower bad_batches.max_gib", key=("budget", "disk_gib"))
        for place in (self._folder, self._scratch):
            free = shutil.disk_usage(place).free
            if free < KEPT_FREE:
                return UserError(f"only {size_text(free)} are free on the disk of {place}", WAY_OUT)
        return None


WAY_OUT = "free some space, or mend it; the same command goes on where it stopped"


@contextmanager
def full_disk_is_said(folder: Path) -> Iterator[None]:
    """Turn the error of a full disk into what the user can do about it."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise UserError(f"the disk {FULL[error.errno]}: {error.filename or folder}", WAY_OUT) from error
