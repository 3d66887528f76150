"""Write a sweep of simulated trials with its reports: ``python -m experiments.sample_sweep --out DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.sample_sweep.kinds import KINDS
from experiments.sample_sweep.sample import make_sample


def main() -> None:
    """Write the sweep, and print its answer and where its report is."""
    kinds = "; ".join(f"{name}: {kind.meaning}" for name, kind in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m experiments.sample_sweep", description=__doc__, epilog=kinds
    )
    parser.add_argument("--trials", type=int, default=500, help="budget (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the sweep's folder; must be new")
    parser.add_argument("--kind", choices=KINDS, default="confirmed", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same trials (default: %(default)s)")
    options = parser.parse_args()
    result = make_sample(options.out, options.kind, options.trials, options.seed)
    print(f"{result.answer.verdict.value}: {result.answer.sentence}\n{options.out / 'report.html'}")


if __name__ == "__main__":
    main()
