"""Run it: ``python -m experiments.fuzz``; ``--help`` lists what can be changed."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # read when torch is imported

from experiments.fuzz.bundles import fuzz_bundles  # noqa: E402
from experiments.fuzz.guided_run import guided  # noqa: E402
from experiments.fuzz.hints import fuzz_hints  # noqa: E402
from experiments.fuzz.studies import fuzz_studies  # noqa: E402
from experiments.fuzz.sweeps import fuzz_sweeps  # noqa: E402
from experiments.fuzz.tally import Tally, table  # noqa: E402

PARTS = ("sweeps", "guided", "studies", "hints", "bundles")


def main() -> int:
    """Damage sweeps, studies and bundles, print how they ended; 1 when one ended as none may."""
    parser = argparse.ArgumentParser(description="damaged input for the command line")
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sweeps", type=int, default=10_000, help="mutated sweep files")
    parser.add_argument("--runs", type=int, default=50_000, help="runs of the coverage-guided fuzzer")
    parser.add_argument("--studies", type=int, default=1_100, help="damaged studies")
    parser.add_argument("--hints", type=int, default=1_000, help="damaged frontier.json of an earlier sweep")
    parser.add_argument("--bundles", type=int, default=600, help="damaged bundles")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stabsearch-fuzz-") as folder:
        tallies = [
            tally for part in options.parts for tally in _tallies(part, options, _new(Path(folder) / part))
        ]
    print(f"{platform.machine()}, Python {platform.python_version()}\n\n{table(tallies)}")
    problems = [problem for tally in tallies for problem in tally.problems]
    print("\n".join(["", *problems]))
    return 1 if problems else 0


def _tallies(part: str, options: argparse.Namespace, home: Path) -> list[Tally]:
    if part == "sweeps":
        return [fuzz_sweeps(options.sweeps, options.seed, home)]
    if part == "guided":
        return [guided(options.runs, options.seed, home)]
    if part == "studies":
        return fuzz_studies(options.studies, options.seed, home)
    if part == "hints":
        return [fuzz_hints(options.hints, options.seed, home)]
    return fuzz_bundles(options.bundles, options.seed, home)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
