"""The README's tables, written from the results that are there."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from experiments.fault_gallery import summary, tables
from experiments.fault_gallery.cell import Result
from experiments.fault_gallery.faults import CONTROLS, FAULTS, GALLERY
from experiments.fault_gallery.results import FOLDER, RESULTS, TOOLS, load
from experiments.fault_gallery.side_by_side import Asked

README = FOLDER / "README.md"
_BEGIN, _END = "<!-- generated: begin -->", "<!-- generated: end -->"
_PACKAGES = ("stabsearch", "torch", "transformers", "accelerate", "datasets")


def rewrite() -> None:
    """Replace the generated section of the README."""
    head, rest = README.read_text(encoding="utf-8").split(_BEGIN)
    tail = rest.split(_END)[1]
    README.write_text(f"{head}{_BEGIN}\n{generated()}\n{_END}{tail}", encoding="utf-8")
    print(f"tables -> {README}")


def generated() -> str:
    """Return everything that the results say, as Markdown."""
    results = _ordered(load(RESULTS, Result.from_json))
    asked = _ordered(load(TOOLS, Asked.from_json))
    if not results:
        return f"{_gallery()}\n\nNo results yet."
    listed = list(results.values())
    faults = summary.of_faults(listed)
    parts = [
        _measured_on(listed),
        tables.headline(listed),
        "### Planted against named cause\n\nCells: faults × seeds × precisions.",
        tables.confusion(listed, lambda result: result.named),
        "Without the preflight: what the failed trial and its replays alone lead to. A training that runs to "
        "its end with finite numbers leaves nothing to replay.",
        tables.confusion(faults, lambda result: result.unaided),
        f"### Misses\n\n{tables.misses(listed)}",
        f"Planted rows that were not named.\n\n{tables.row_misses(listed)}",
        f"Bundles that did not replay bit for bit.\n\n{tables.replay_misses(listed)}",
        f"### False alarms on healthy controls\n\n{tables.false_alarms(listed)}",
        f"### Fault by fault\n\n{tables.by_fault(listed)}",
        _gallery(),
    ]
    return "\n\n".join([*parts, *_side_by_side(results, asked)])


def _ordered(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return results in the registry's order."""
    place = {name: number for number, name in enumerate(GALLERY)}
    return dict(sorted(found.items(), key=lambda pair: place[pair[1].fault]))


def _measured_on(results: list[Result]) -> str:
    names, seeds = {result.fault for result in results}, {result.seed for result in results}
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{len(results)} cells: {len(names & set(FAULTS))} of {len(FAULTS)} faults and "
        f"{len(names & set(CONTROLS))} of {len(CONTROLS)} healthy controls, {len(seeds)} seeds. "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}. "
        "Intervals take cells as independent, which the seeds of one fault are not quite."
    )


def _gallery() -> str:
    body = [[each.name, each.family, each.story, ", ".join(each.precisions)] for each in GALLERY.values()]
    return f"### What is planted\n\n{tables.markdown(['', 'family', '', 'precisions'], body)}"


def _side_by_side(results: Mapping[str, Result], asked: Mapping[str, Asked]) -> list[str]:
    if not asked:
        return []
    return [
        "### Beside other tools\n\nEach fault once, seed 0, in its first precision. The other tools see the "
        "model with eager attention: DebugUnderflowOverflow itself crashes on the boolean masks of the "
        "default one.",
        tables.tools_summary(results, asked),
        tables.side_by_side(results, asked),
    ]
