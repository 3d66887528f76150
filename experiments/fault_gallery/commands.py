"""The gallery's command line.

python -m experiments.fault_gallery                     everything that is missing, then the tables
python -m experiments.fault_gallery --only NAME;NAME    some faults
python -m experiments.fault_gallery --tools             the missing reports of other tools, then the tables
python -m experiments.fault_gallery --tables            the tables from results that are there
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection

from experiments.fault_gallery import report, side_by_side
from experiments.fault_gallery.cell import Result, measure
from experiments.fault_gallery.fault import EVERYWHERE
from experiments.fault_gallery.faults import FAULTS, GALLERY
from experiments.fault_gallery.results import (
    RESULTS,
    TOOLS,
    fingerprint,
    load,
    missing,
    plan,
    tools_fingerprint,
)
from experiments.fault_gallery.running import run_cells


def main() -> int:
    """Run the command; 1 when a cell raised."""
    options = _options()
    failed = 0
    if not options.tables:
        failed += 0 if options.tools else _gallery(options)
        failed += _tools(options)
    report.rewrite()
    return int(failed > 0)


def _gallery(options: argparse.Namespace) -> int:
    cells, mark = plan(options.only, options.seeds, options.precisions), fingerprint()
    todo = missing(cells, load(RESULTS, Result.from_json), None if options.accept_stale else mark)
    return run_cells(todo, RESULTS, measure, mark, jobs=options.jobs)


def _tools(options: argparse.Namespace) -> int:
    cells = [side_by_side.asked_cell(name) for name in options.only if name in FAULTS]
    mark = tools_fingerprint()  # another stabsearch does not change what other tools say
    done = load(TOOLS, side_by_side.Asked.from_json)
    todo = missing(cells, done, None if options.accept_stale else mark)
    return run_cells(todo, TOOLS, side_by_side.ask, mark, jobs=options.jobs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.fault_gallery", description="Plant faults and see what is said of them."
    )
    parser.add_argument("--seeds", type=int, default=5, help="per fault and precision (default: %(default)s)")
    parser.add_argument("--only", type=_names(GALLERY), default=tuple(GALLERY), help="separated by ;")
    parser.add_argument("--precisions", type=_names(EVERYWHERE), default=EVERYWHERE, help="separated by ;")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--accept-stale", action="store_true", help="keep results of other code")
    parser.add_argument("--tools", action="store_true", help="only ask the other tools")
    parser.add_argument("--tables", action="store_true", help="only rewrite the tables")
    return parser.parse_args()


def _names(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of names separated by semicolons."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(";"))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {'; '.join(unknown)} (known: {'; '.join(known)})")
        return names

    return parse
