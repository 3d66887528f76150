"""Memory of one worker over many trials: a growth curve, and its slope with an interval.

``python experiments/worker_memory.py [--trials 200]``; trials of fp32 and bf16, a third of
them diverging, each in the same process as a sweep's worker runs them.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import transformers

from stabsearch.config import QuickstartTask
from stabsearch.driver.base import WorkOrder
from stabsearch.driver.worker import work
from stabsearch.records import Stage, TrialPlan
from stabsearch.trial.setup import TrialSetup

PRECISIONS = ("fp32", "bf16")
RATES = (1e-4, 1e-2, 1e30)


def main() -> None:
    """Run the trials and print the curve."""
    parser = argparse.ArgumentParser(description="memory of one worker over many trials")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--steps", type=int, default=20, help="of each trial")
    options = parser.parse_args()
    torch.set_num_threads(1)
    setup = TrialSetup(max_steps=10 * options.steps)
    order = WorkOrder(QuickstartTask(), setup, math.inf)
    used_MiB = [_run(order, number, options.steps) for number in range(options.trials)]
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {options.trials} trials")
    for number in range(0, options.trials, max(1, options.trials // 20)):
        print(f"after {number + 1:>4} trials {used_MiB[number]:8.1f} MiB")
    print(f"after {options.trials:>4} trials {used_MiB[-1]:8.1f} MiB")
    half = options.trials // 2  # caches of torch and of the allocator grow first
    slope, error = _slope(np.array(used_MiB[half:]))
    print(f"slope after {half}: {1024 * slope:.2f} KiB per trial (95 % interval "
          f"{1024 * (slope - 1.96 * error):.2f} to {1024 * (slope + 1.96 * error):.2f})")  # fmt: skip


def _run(order: WorkOrder, number: int, steps: int) -> float:
    """Return the memory that the process holds after a trial, MiB."""
    rate, precision = RATES[number % len(RATES)], PRECISIONS[number % len(PRECISIONS)]
    clip = 0.0 if rate > 1 else 1.0
    work(TrialPlan(number, Stage.SEARCH, rate, 0, clip, precision, number, number, steps), order)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def _slope(used_N: np.ndarray) -> tuple[float, float]:
    """Return the least-squares slope per trial, and its standard error."""
    x_N = np.arange(len(used_N)) - (len(used_N) - 1) / 2
    slope = float(x_N @ used_N / (x_N @ x_N))
    rest_N = used_N - used_N.mean() - slope * x_N
    return slope, float(np.sqrt(rest_N @ rest_N / (len(used_N) - 2) / (x_N @ x_N)))


if __name__ == "__main__":
    main()
