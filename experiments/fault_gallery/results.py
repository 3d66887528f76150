"""Measured cells on disk: one JSON line each, appended as they end; a run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import stabsearch
from experiments.fault_gallery.cell import Cell
from experiments.fault_gallery.faults import GALLERY

FOLDER = Path(__file__).parent
RESULTS, TOOLS = FOLDER / "results.jsonl", FOLDER / "other_tools.jsonl"
"""What stabsearch said, and what the other tools said; git keeps both."""

_ROOMS = ("capture", "forensics", "records", "trial")  # of stabsearch: a change may change what it says
_OWN = ("collators", "fault", "models", "sentences", "trainers", "workload")


class Measured(Protocol):
    """What a cell gives."""

    @property
    def key(self) -> str:
        """Return the cell's name."""
        ...

    @property
    def fault(self) -> str:
        """Return the fault's name."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a digest of the code that gave this."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        ...


AnyMeasured = TypeVar("AnyMeasured", bound=Measured)


def load(path: Path, read: Callable[[Mapping[str, Any]], AnyMeasured]) -> dict[str, AnyMeasured]:
    """Return what has been measured, by cell; of a cell measured twice, the later one."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    results = (read(json.loads(line)) for line in lines if line.strip())
    return {result.key: result for result in results if result.fault in GALLERY}


def append(path: Path, result: Measured) -> None:
    """Add one cell, whole or not at all as far as a reader is concerned."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result.to_json()) + "\n")


def missing(cells: Iterable[Cell], done: Mapping[str, Measured], mark: str | None) -> list[Cell]:
    """Return the cells to measure: not done yet, or done with other code than ``mark`` is a digest of.

    Args:
        cells: what is wanted.
        done: what is there, by key.
        mark: of the code as it is now; None: results of any code will do.
    """
    return [cell for cell in cells if not _is_current(done.get(cell.key), mark)]


def _is_current(result: Measured | None, mark: str | None) -> bool:
    return result is not None and mark in {None, result.fingerprint}


@cache
def fingerprint() -> str:
    """Return a digest of the code that decides what stabsearch says of a cell."""
    root = Path(stabsearch.__file__).parent
    rooms = [path for room in _ROOMS for path in sorted((root / room).rglob("*.py"))]
    return _digest([*rooms, *_planted(), FOLDER / "cell.py"])


@cache
def tools_fingerprint() -> str:
    """Return a digest of the code that decides what other tools say of a cell."""
    return _digest([*_planted(), FOLDER / "other_tools.py", FOLDER / "side_by_side.py"])


def _planted() -> list[Path]:
    return [*(FOLDER / f"{name}.py" for name in _OWN), *sorted((FOLDER / "faults").glob("*.py"))]


def _digest(sources: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def plan(names: Sequence[str], num_seeds: int, precisions: Sequence[str]) -> list[Cell]:
    """Return the cells of a run, seed by seed, so that a run that was cut short has seen every fault."""
    return [
        Cell(name, seed, precision)
        for seed in range(num_seeds)
        for name in names
        for precision in GALLERY[name].precisions
        if precision in precisions
    ]
