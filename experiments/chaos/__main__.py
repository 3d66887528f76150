"""Kill a hundred and more parts of running sweeps at random, and count what is lost."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from experiments.chaos.sweeps import Ended, run
from experiments.chaos.tables import RESULTS, kinds, save, table

APART = "STABSEARCH_CHAOS_APART"


def _apart(arguments: list[str]) -> int:
    """Run this program in a network of its own, since nodes do not keep to loopback. Needs root."""
    up = 'ip link set lo up; exec "$@"'
    command = [
        "unshare",
        "--net",
        "bash",
        "-c",
        up,
        "_",
        sys.executable,
        "-m",
        "experiments.chaos",
        *arguments,
    ]
    return subprocess.run(command, env={**os.environ, APART: "1"}, check=False).returncode


def main() -> int:
    """Run it; 0 when nothing was lost, doubled, left open or mis-tagged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="kills in all, on each place")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=24, help="budget of each sweep")
    parser.add_argument("--per-sweep", type=int, default=12, help="kills per sweep, at most")
    parser.add_argument("--where", choices=["private", "cluster", "both"], default="both")
    parser.add_argument("--save", action="store_true", help=f"add the sweeps to {RESULTS.name}")
    given = parser.parse_args()
    if given.where != "private" and APART not in os.environ:
        return _apart(sys.argv[1:])
    places = ["private", "cluster"] if given.where == "both" else [given.where]
    ends: list[Ended] = []
    for place in places:
        with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as home:
            ends += run(
                Path(home), given.kills, given.seed, given.trials, given.per_sweep,
                on_cluster=place == "cluster", say=partial(print, flush=True),
                keep=save if given.save else lambda _: None,
            )  # fmt: skip
    print(f"\n{table(ends)}\n\nKilled: {kinds(ends)}.")
    return 0 if all(end.damage.is_none for end in ends) else 1


if __name__ == "__main__":
    sys.exit(main())
