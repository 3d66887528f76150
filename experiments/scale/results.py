"""What was measured, as rows of a CSV file, one per number of ended trials."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from experiments.scale.simulate import Sample

HERE = Path(__file__).parent
RESULTS, COUNTS, REQUESTS, PICTURE = (
    HERE / name for name in ("results.csv", "counts.csv", "requests.csv", "curves.png")
)
SECTIONS = (
    "sampler", "stop rule", "labels", "fit", "view", "ask", "tell", "journal write", "next trial", "record",
)  # fmt: skip
"""What the driver's processor time is charged to; names as in ``measured.py``."""

Row = dict[str, Any]


def rows_of(samples: Sequence[Sample], further: Mapping[int, Row], setting: Row) -> list[Row]:
    """Return one row per sample, times per trial as means since the sample before.

    Args:
        samples: by ascending number of ended trials.
        further: what else was measured at a number of ended trials.
        setting: goes into each row.
    """
    none = Sample(0, {}, 0.0, 0.0, 0, 0)
    return [
        {**setting, **_row(earlier, later), **further.get(later.ended, {})}
        for earlier, later in pairwise([none, *samples])
    ]


def _row(earlier: Sample, later: Sample) -> Row:
    trials = later.ended - earlier.ended
    spent_ms = {
        f"{name.replace(' ', '_')}_ms": 1000 * (later.seconds.get(name, 0.0) - earlier.seconds.get(name, 0.0))
        / trials
        for name in SECTIONS
    }  # fmt: skip
    return {
        "ended": later.ended,
        "driver_ms": sum(spent_ms.values()),
        **spent_ms,
        "driver_s": sum(later.seconds.values()),
        "wall_s": later.wall_s,
        "virtual_s": later.virtual_s,
        "memory_mib": later.memory_bytes / 2**20,
        "study_mib": later.study_bytes / 2**20,
    }


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as a CSV file; a row may lack columns that others have."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, columns, lineterminator="\n")
        table.writeheader()
        table.writerows({name: _short(value) for name, value in row.items()} for row in rows)


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
