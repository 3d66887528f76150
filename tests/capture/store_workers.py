"""Processes that write bundles at the same time; without torch, so that they start fast."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from stabsearch.capture.manifest import MANIFEST
from stabsearch.capture.store import BundleStore

SIGNATURE = "same"


def race(folder: Path, barrier: Any, told: Any, number: int) -> None:
    """Keep a failure at the same moment as others, and tell where it is kept."""
    barrier.wait()
    told.put(str(BundleStore(folder, 10**9).keep(f"{number:04d}", SIGNATURE, 1, _write).folder))


def write_and_be_killed(folder: Path) -> None:
    """Die in the middle of a write."""

    def write(place: Path) -> None:
        (place.parent / f".{place.name}.part").mkdir()
        os.kill(os.getpid(), signal.SIGKILL)

    BundleStore(folder, 10**9).keep("0001", SIGNATURE, 1, write)


def _write(place: Path) -> None:
    place.mkdir()
    (place / MANIFEST).write_text(json.dumps({"signature": SIGNATURE}))
