"""Measured cells on disk: one JSON line each, appended as they end; a run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import stabsearch
from experiments.frontier_benchmark.cell import Cell
from experiments.frontier_benchmark.methods.registry import METHODS

FOLDER = Path(__file__).parent
RUNS = FOLDER / "runs"
"""Raw results; git does not keep them."""

_ROOMS = ("frontier", "search")  # of stabsearch: a change there may change what it finds


def results_path(group: str) -> Path:
    """Return the file of a group of worlds."""
    return RUNS / f"{group}.jsonl"


def load(path: Path) -> dict[str, dict[str, Any]]:
    """Return what has been measured, by cell; of a cell measured twice, the later one."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {result["key"]: result for result in map(json.loads, filter(str.strip, lines))}


def append(path: Path, result: dict[str, Any]) -> None:
    """Add one cell, whole or not at all as far as a reader is concerned."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")


def missing(cells: Iterable[Cell], done: dict[str, dict[str, Any]], *, accept_stale: bool) -> list[Cell]:
    """Return the cells to measure: not done yet, or done with another version of the code."""
    return [cell for cell in cells if not _is_current(cell, done.get(cell.key), accept_stale)]


def fingerprint(method: str) -> str:
    """Return a digest of the stabsearch code that a method runs, empty when it runs none."""
    return _rooms_digest() if METHODS[method].runs_stabsearch else ""


def _is_current(cell: Cell, result: dict[str, Any] | None, accept_stale: bool) -> bool:
    return result is not None and (accept_stale or result["fingerprint"] == fingerprint(cell.method))


def _rooms_digest() -> str:
    root = Path(stabsearch.__file__).parent
    sources = sorted(path for room in _ROOMS for path in (root / room).glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def plan(methods: Sequence[str], families: Sequence[str], seeds: range, budget: float | None) -> list[Cell]:
    """Return the cells of a run, world by world, so that a run that was cut short compares like with like.

    Args:
        methods: by name.
        families: by name.
        seeds: of the worlds.
        budget: horizons; replaces larger budgets of the methods.
    """
    return [
        Cell(method, family, seed, min(METHODS[method].budget, budget or float("inf")))
        for seed in seeds
        for family in families
        for method in methods
    ]
