"""The folder of all bundles of a sweep: one per signature, within a disk budget, whoever writes."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from stabsearch.capture.manifest import MANIFEST
from stabsearch.records.plain_json import read_json


@dataclass(frozen=True)
class Kept:
    """What became of a bundle."""

    folder: Path | None
    """Where this failure, or an earlier one of its kind, is kept; None: nowhere."""
    note: str = ""
    """In one line why it was not written; empty when it was."""


@dataclass(frozen=True)
class BundleStore:
    """Where bundles go, and how many bytes they may take together."""

    folder: Path
    max_bytes: int

    def keep(self, name: str, signature: str, size: int, write: Callable[[Path], None]) -> Kept:
        """Return where the failure is kept, having written it unless one of its kind is there.

        Workers take turns: a bundle is a rare event, and two of the same signature would be one too many.

        Args:
            name: folder name of the bundle; where another one has it, a number is added.
            signature: what kind of failure it is.
            size: bytes that it takes.
            write: writes it into the given folder, which does not exist yet.
        """
        if self.max_bytes <= 0:
            return Kept(None, "bundles are switched off")
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._turn():
            known = self.find(signature)
            if known is not None:
                return Kept(known, f"the same failure is kept in {known.name}")
            free = min(self.max_bytes - self._taken(), shutil.disk_usage(self.folder).free)
            if size > free:
                return Kept(
                    None, f"a bundle of {_mib(size)} does not fit the {_mib(max(free, 0))} that are left"
                )
            target = self._free(name)
            write(target)
            return Kept(target)

    def find(self, signature: str) -> Path | None:
        """Return the bundle that is kept for a signature."""
        return next((path for path, kept in self._there() if kept == signature), None)

    def _free(self, name: str) -> Path:
        """Return a folder that is not there yet: a damaged bundle, or another failure, may have the name."""
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        return next(self.folder / each for each in names if not (self.folder / each).exists())

    @contextmanager
    def _turn(self) -> Iterator[None]:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC  # never through a link
        with os.fdopen(os.open(self.folder / ".lock", flags, 0o666), "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.folder.glob(".*.part"):  # a writer that was killed
                shutil.rmtree(left, ignore_errors=True)
            yield

    def _there(self) -> Iterator[tuple[Path, str]]:
        for manifest in sorted(self.folder.glob(f"*/{MANIFEST}")):
            try:
                yield manifest.parent, str(read_json(manifest)["signature"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # a damaged bundle keeps nothing; whoever replays it is told

    def _taken(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:.1f} MiB"
