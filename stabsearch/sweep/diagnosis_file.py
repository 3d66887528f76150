"""``diagnosis.json``: why a sweep found nothing safe, beside its other results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.frontier.answer import Verdict
from stabsearch.records.plain_json import read_json

if TYPE_CHECKING:
    from stabsearch.forensics.diagnosis import Diagnosis

DIAGNOSIS = "diagnosis.json"
ASKS_WHY = frozenset({Verdict.CANARY_FAILED, Verdict.DATA_FAULT, Verdict.NOTHING_SAFE})
"""Answers that a sweep explains by itself."""


def write_diagnosis(diagnosis: Diagnosis, folder: Path) -> dict[str, Any]:
    """Return the diagnosis as JSON data, having put it beside the sweep's other results."""
    data = diagnosis.to_json()
    part = folder / f".{DIAGNOSIS}.part"
    part.unlink(missing_ok=True)
    with part.open("x", encoding="utf-8") as file:  # which follows no link
        file.write(json.dumps(data, indent=1, allow_nan=False) + "\n")
    part.replace(folder / DIAGNOSIS)
    return data


def stored_diagnosis(folder: Path) -> dict[str, Any] | None:
    """Return the diagnosis that lies beside a sweep's results, None when there is none."""
    try:
        data: dict[str, Any] = read_json(folder / DIAGNOSIS)
    except (OSError, ValueError):
        return None
    return data
