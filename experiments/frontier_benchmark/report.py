"""The README's tables, written from the results that are there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.frontier_benchmark import growth, tables
from experiments.frontier_benchmark.machine import machine
from experiments.frontier_benchmark.methods.registry import METHODS
from experiments.frontier_benchmark.results import FOLDER, load
from experiments.frontier_benchmark.summary import COMPARED_AT, REACHED, table_of
from experiments.frontier_benchmark.worlds import FAMILIES, KNOWN, NEW, RECORDED

README = FOLDER / "README.md"
SUMMARY = FOLDER / "results.csv"
"""One row per cell: what git keeps of a run."""

_BEGIN, _END = "<!-- generated: begin -->", "<!-- generated: end -->"
_RELIABILITY_OF = ("stabsearch", "stabsearch 0.1, per context")
_SECTIONS: tuple[tuple[str, tables.Entry, str], ...] = (
    *(
        (
            f"### Steps until the mean absolute error stays within {level:g} decades\n\n"
            "Median T [90 % interval] / median trials (share of worlds that got there).",
            tables.reached(level),
            f"steps_to_{level}",
        )
        for level in REACHED
    ),
    (
        f"### At {COMPARED_AT:g} T\n\nMean absolute error of the frontier, decades: median [90 % interval].",
        tables.median_of("error"),
        "error",
    ),
    (
        "Contexts whose 90 % interval holds the truth: mean [90 % interval].",
        tables.share_of("covered"),
        "covered",
    ),
    ("Mean width of that interval, decades.", tables.median_of("width"), "width"),
    (
        "Recommendations that are unsafe in truth: mean [90 % interval].",
        tables.share_of("is_unsafe"),
        "is_unsafe",
    ),
    ("Contexts flagged as not monotone.", tables.share_of("flagged"), "flagged"),
    *(
        (
            f"### Confirmation after {at} T of search\n\n"
            "Unsafe before → after; abstained; regret after, decades; cost of the confirmation, T.",
            tables.certified(at),
            f"abstained_{at}",
        )
        for at in ("25", "60")
    ),
    (
        "### Own stopping\n\nCost (share of worlds that stopped); error there; unsafe recommendations there.",
        tables.stopped,
        "expected_error",
    ),
)
"""Heading, what stands in a cell, and the column that methods without it lack."""

_GROUPS = {
    "Surfaces that the method was developed on, other seeds": tuple(KNOWN),
    "Surfaces that nothing was tuned on": tuple(NEW),
    "Real fine-tunes, recorded and replayed": tuple(RECORDED),
}


def rewrite(path: Path) -> None:
    """Replace the generated section of the README, and the committed summary."""
    head, rest = README.read_text(encoding="utf-8").split(_BEGIN)
    tail = rest.split(_END)[1]
    README.write_text(f"{head}{_BEGIN}\n{comparison(path)}\n{_END}{tail}", encoding="utf-8")
    rows = table_of(_ordered(load(path)))
    if len(rows):
        rows.round(4).to_csv(SUMMARY, index=False)
    print(f"{len(rows)} cells -> {README}, {SUMMARY}")


def comparison(path: Path) -> str:
    """Return everything that the results in a file say, as Markdown."""
    results = _ordered(load(path))
    if not results:
        return "No results yet."
    rows = table_of(results)
    parts = [_measured_on(rows)]
    for title, families in _GROUPS.items():
        if set(families) & set(rows["family"]):
            parts += [f"## {title}", _group(rows, results, families)]
    return "\n\n".join([*parts, "## Time per suggestion", _times(rows), _growth()]).rstrip()


def _ordered(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the results by method and surface, in the order of their registries."""
    methods, families = list(METHODS), list(FAMILIES)
    known = [r for r in results.values() if r["method"] in METHODS and r["family"] in FAMILIES]
    return sorted(known, key=lambda r: (methods.index(r["method"]), families.index(r["family"]), r["seed"]))


def _measured_on(rows: pd.DataFrame) -> str:
    worlds = rows.groupby(["method", "family"])["seed"].nunique()
    return (
        f"{len(rows)} runs; {worlds.min()} worlds per method and surface at least, {worlds.max()} at most, "
        f"seeds from {rows['seed'].min()}. {machine()}."
    )


def _group(rows: pd.DataFrame, results: Sequence[dict[str, Any]], families: Sequence[str]) -> str:
    here = rows[rows["family"].isin(families)]
    parts = [
        f"{heading}\n\n{tables.by_family(here[here[column].notna()], families, entry)}"
        for heading, entry, column in _SECTIONS
        if column in here and here[column].notna().any()
    ]
    parts += [
        "### Calibration of predicted failure probabilities\n\n"
        "At the end of the budget: expected calibration error; Brier score (the part nobody can avoid).",
        tables.calibration_summary(results, families),
    ]
    for method in _RELIABILITY_OF:
        table = tables.reliability_table(results, method, families)
        parts += [f"{method}: predicted / true (points).", table] if table else []
    return "\n\n".join(parts)


def _times(rows: pd.DataFrame) -> str:
    body = [
        [
            method,
            f"{cells['ms_per_suggestion'].median():.1f}",
            f"{cells['num_trials'].median():.0f}",
            f"{cells['cpu_s'].median():.1f}",
        ]
        for method, cells in rows.groupby("method", sort=False)
    ]
    return tables.markdown(["method", "ms per suggestion", "trials per run", "s per run, all checks"], body)


def _growth() -> str:
    if not growth.PATH.exists():
        return ""
    data = json.loads(growth.PATH.read_text(encoding="utf-8"))
    body = [
        [
            row["contexts"],
            row["trials"],
            *(f"{row[f'{name}_ms']:.0f}" for name in ("steady", "worst", "first")),
        ]
        for row in data["rows"]
    ]
    header = ["contexts", "trials", "ms, median of 5", "ms, worst of 5", "ms, new sampler"]
    return (
        f"Growth of stabsearch's own time, one core.\n\n{tables.markdown(header, body)}\n\n{data['machine']}."
    )
