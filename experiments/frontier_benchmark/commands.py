"""The benchmark's command line.

python -m experiments.frontier_benchmark              everything that is missing, then the report
python -m experiments.frontier_benchmark --quick      two worlds of two surfaces, about a minute
python -m experiments.frontier_benchmark report       the report from results that are there
python -m experiments.frontier_benchmark growth       time per suggestion, then the report
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection

from experiments.frontier_benchmark import growth, report
from experiments.frontier_benchmark.methods.registry import DEFAULT, METHODS
from experiments.frontier_benchmark.results import plan, results_path
from experiments.frontier_benchmark.running import run_cells
from experiments.frontier_benchmark.worlds import FAMILIES, FIRST_SEED, seeds

PUBLISHED = "held-out"
_QUICK = {"group": "tuning", "worlds": 2, "budget": 30.0, "surfaces": ("smooth", "dead fp16")}


def main() -> int:
    """Run the command; 1 when a cell raised."""
    options = _options()
    failed = 0
    if options.command == "growth":
        growth.measure()
    elif options.command == "run":
        failed = _run(options)
    if options.command != "run" or options.file == PUBLISHED:
        report.rewrite(results_path(PUBLISHED))
    else:
        print(report.comparison(results_path(options.file)))
    return int(failed > 0)


def _run(options: argparse.Namespace) -> int:
    """Return how many cells raised; their tracebacks are printed."""
    cells = plan(options.methods, options.surfaces, seeds(options.group, options.worlds), options.budget)
    return run_cells(cells, results_path(options.file), jobs=options.jobs, accept_stale=options.accept_stale)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.frontier_benchmark", description="Compare methods that find the frontier."
    )
    parser.add_argument("command", nargs="?", choices=("run", "report", "growth"), default="run")
    parser.add_argument("--quick", action="store_true", help="two tuning worlds of two surfaces, 30 T")
    parser.add_argument("--group", choices=sorted(FIRST_SEED), default=PUBLISHED, help="of worlds")
    parser.add_argument("--methods", type=_names(METHODS), default=DEFAULT, help="separated by ;")
    parser.add_argument("--surfaces", type=_names(FAMILIES), default=tuple(FAMILIES), help="separated by ;")
    parser.add_argument("--worlds", type=int, default=20, help="per surface (default: %(default)s)")
    parser.add_argument("--budget", type=float, help="T; lowers the methods' own budgets")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--accept-stale", action="store_true", help="keep results of another stabsearch")
    parser.add_argument("--file", help="of raw results in runs/ (default: the group's name)")
    options = parser.parse_args()
    if options.quick:
        vars(options).update(_QUICK)
    options.file = options.file or ("quick" if options.quick else options.group)
    return options


def _names(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of names separated by semicolons, some of which hold a comma."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(";"))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {'; '.join(unknown)} (known: {'; '.join(known)})")
        return names

    return parse
