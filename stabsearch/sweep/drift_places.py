"""Where the drifts of a sweep are: which one goes on, and what the next one is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stabsearch.config import Sweep
from stabsearch.config.load import load_as_written
from stabsearch.config.write import difference
from stabsearch.errors import UserError
from stabsearch.records import Outcome
from stabsearch.records.plain_json import read_json
from stabsearch.search.folder import RESOLVED, Resume
from stabsearch.sweep.result import installed_versions

DRIFT = "drift"
"""Folder of the drifts below a sweep's; in a study: whose frontier it tests."""
RESULT = "drift.json"
_LONGEST = 80  # chosen: a name has 100 characters at most


@dataclass(frozen=True)
class DriftPlace:
    """One drift of a sweep."""

    folder: Path
    sweep: Sweep
    """As it is run: named, with seeds that nothing ran with before."""


def drifts_of(folder: Path) -> list[tuple[int, Path]]:
    """Return number and folder of every drift of a sweep, in order."""
    found = ((re.fullmatch(r".+-drift-(\d{1,6})", path.name), path) for path in (folder / DRIFT).glob("*"))
    return sorted((int(match[1]), path) for match, path in found if match and path.is_dir())


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return what a drift found, as it was written; None while it has not ended."""
    try:
        content = read_json(folder / RESULT)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def place_of(old: Path, sweep: Sweep, resume: Resume) -> DriftPlace:
    """Return the drift to go on with, or a new one.

    One goes on that has no verdict yet, if it tests the same thing: the same sweep, and the same versions of
    the libraries, which are what may have changed.

    Raises:
        UserError: nothing to go on with, and ``resume`` is ``must``.
    """
    known = drifts_of(old)
    if known and resume != "never":
        number, folder = known[-1]
        place = _numbered(old, sweep, number)
        if place.folder == folder and _goes_on(place):
            return place
    if resume == "must":
        raise UserError(f"nothing to resume in {old / DRIFT}", "start it with --resume auto")
    return _numbered(old, sweep, known[-1][0] + 1 if known else 1)


def _numbered(old: Path, sweep: Sweep, number: int) -> DriftPlace:
    name = f"{sweep.name[:_LONGEST]}-drift-{number}"
    output_dir = (old / DRIFT).absolute()
    seed = int(np.random.SeedSequence((sweep.seed, number, len(DRIFT))).generate_state(1)[0])
    update = {"name": name, "output_dir": str(output_dir), "seed": seed}
    return DriftPlace(old / DRIFT / name, sweep.model_copy(update=update))


def _goes_on(place: DriftPlace) -> bool:
    from stabsearch.search.stored import read_study, records_in, sweep_in

    if not (place.folder / RESOLVED).is_file():
        return True  # killed before it began
    if difference(load_as_written(place.folder / RESOLVED).sweep, place.sweep):
        return False
    found = read_result(place.folder)
    if found is not None and found.get("standing") != "open":
        return False
    try:
        study = read_study(place.folder)
    except UserError:  # killed before its study held anything
        return True
    is_faulty = any(record.outcome is Outcome.DATA_FAULT for record in records_in(study))
    return not is_faulty and sweep_in(study).get("versions") == installed_versions()
