"""How long the debugging ladder takes on a MiniLM-sized model: `python experiments/ladder_time.py`.

Needs `make minilm` and a TSV of texts and classes (--train). Prints one row per failure: wall and processor
seconds of preflight and ladder, and the cause that was named.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from stabsearch.config.load import load_sweep
from stabsearch.config.resolve import resolve
from stabsearch.forensics.ladder import Case, diagnose
from stabsearch.forensics.preflight import preflight
from stabsearch.search.canary import canary_plan
from stabsearch.sweep.diagnosing import local
from stabsearch.sweep.prepared import Prepared

FAILURES = {
    "NaN at once": {"learning_rate": 1e20, "max_grad_norm": 0.0},
    "finite divergence": {"learning_rate": 1.0, "max_grad_norm": 0.0, "horizon": 20},
    "nothing wrong": {"horizon": 10},
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sweep", type=Path, default=Path(__file__).parent / "minilm_clinc.yaml")
    arguments.add_argument("--train", help="rows, when they are not where the sweep says")
    arguments.add_argument("--threads", type=int, default=1)
    asked = arguments.parse_args()
    overrides = [f"task.data.train={asked.train}"] if asked.train else []
    sweep = load_sweep(asked.sweep, overrides).sweep
    began, cpu = time.monotonic(), time.process_time()
    found = preflight(sweep)
    print(f"preflight of {found.num_rows} rows: {time.monotonic() - began:.1f} s wall, "
          f"{time.process_time() - cpu:.1f} s processor, {len(found.findings)} findings")  # fmt: skip
    prepared = Prepared(sweep, resolve(sweep, found.num_rows))
    plan = canary_plan(sweep, prepared.resolved.contexts, prepared.resolved.horizon)
    setup = replace(local(prepared), bundle_dir="", num_threads=asked.threads)
    print(f"torch {torch.__version__}, {asked.threads} threads per trial")
    print("| failure | cause named | wall s | processor s | rungs |\n|---|---|---|---|---|")
    for name, changes in FAILURES.items():
        began, cpu = time.monotonic(), time.process_time()
        assert found.workload is not None, "the rows can be read"
        said = diagnose(Case(found.workload, replace(plan, **changes), setup), found.findings)
        wall, spent = time.monotonic() - began, time.process_time() - cpu
        print(f"| {name} | {said.cause} | {wall:.0f} | {spent:.0f} | {len(said.evidence)} |", flush=True)


if __name__ == "__main__":
    main()
