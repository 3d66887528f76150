"""The curves over the number of ended trials, from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from experiments.scale.results import PICTURE, REQUESTS, RESULTS, SECTIONS, read

Columns = dict[str, list[float]]
MEMORY = {"memory_mib": "driver, resident", "study_mib": "study on disk", "resume_mib": "study in memory"}
ASIDE = {
    "resume_open_s": "open the study",
    "resume_first_trial_s": "then the first trial",
    "report_read_s": "read for a report",
    "report_write_s": "write every report",
}


def draw(results: Path = RESULTS, requests: Path = REQUESTS, picture: Path = PICTURE) -> None:
    """Write the picture of what was measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = _columns(read(results))
    per_trial = float(read(requests)[-1]["requests_per_trial"])
    figure = Figure(figsize=(12, 8), layout="constrained")
    FigureCanvasAgg(figure)
    parts, room, aside, rates = figure.subplots(2, 2).ravel()
    _driver(parts, columns)
    _lines(room, columns, MEMORY, "memory and disk", "MiB")
    _lines(aside, columns, ASIDE, "going on, and reports", "processor seconds")
    _rates(rates, columns, per_trial)
    for axes in (parts, room, aside, rates):
        axes.set_xscale("log")
        axes.set_xlabel("trials ended")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="best" if axes is not parts else "upper left")
    figure.savefig(picture, dpi=110)


def _columns(rows: Sequence[dict[str, str]]) -> Columns:
    names = [name for name in rows[0] if name not in {"storage", "machine", "resume_has_work"}]
    columns = {name: [float(row[name]) for row in rows] for name in names}
    columns["resume_mib"] = [value / 2**20 for value in columns["resume_memory_bytes"]]
    return columns


def _driver(axes: Any, columns: Columns) -> None:
    """Draw the driver's time per trial as a pile of its parts.

    The first sample is left out: before the first trials end, a whole cluster is filled.
    """
    ended = columns["ended"][1:]
    parts = [columns[f"{name.replace(' ', '_')}_ms"][1:] for name in SECTIONS]
    axes.stackplot(ended, parts, labels=SECTIONS, alpha=0.85)
    axes.set_title("driver, per trial (mean since the point before)")
    axes.set_ylabel("processor milliseconds")


def _lines(axes: Any, columns: Columns, names: dict[str, str], title: str, unit: str) -> None:
    for name, label in names.items():
        axes.plot(columns["ended"], columns[name], marker="o", label=label)
    axes.set_yscale("log")
    axes.set_title(title)
    axes.set_ylabel(unit)


def _rates(axes: Any, columns: Columns, requests_per_trial: float) -> None:
    """Draw how fast trials end on the virtual clock, and how fast the driver could take them."""
    points = list(zip(columns["ended"], columns["virtual_s"], strict=True))
    rate = [(later[0] - one[0]) / (later[1] - one[1]) for one, later in pairwise(points)]
    ended = columns["ended"][1:]
    axes.plot(ended, rate, marker="o", label="trials end (1,000 at a time, 60 s median)")
    axes.plot(ended, [1000 / ms for ms in columns["driver_ms"][1:]], marker="o", label="one core could take")
    axes.plot(ended, [requests_per_trial * each for each in rate], marker="o", label="MLflow requests")
    axes.set_yscale("log")
    axes.set_title("rates")
    axes.set_ylabel("per second")
