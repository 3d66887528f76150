"""Train the full run with a sweep's recommended.json on seeds that the sweep never used.

python experiments/check_recommended.py runs/quickstart [--seeds 5]

Prints one line per seed and exits with 0 when every run stayed stable: finite, its smoothed loss
never above twice chance level, and a last quarter well below chance.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from transformers import HfArgumentParser, TrainingArguments

from stabsearch import TrainingBroke
from stabsearch.config.load import load_sweep
from stabsearch.records import Outcome, OutcomeRules
from stabsearch.task.registry import build_workload
from stabsearch.trial.arguments import QUIET
from stabsearch.trial.instrument import Guard
from stabsearch.trial.judge import Judge

FIRST_SEED = 1_000_000  # a sweep's own seeds are hashes; this one is not among them


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    workload = build_workload(load_sweep(options.folder / "sweep.resolved.yaml").sweep.task)
    results = [run(options.folder, workload, FIRST_SEED + i) for i in range(options.seeds)]
    print(f"{sum(results)} of {len(results)} full runs stayed stable")
    return 0 if all(results) else 1


def run(folder: Path, workload, seed: int) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        args = arguments(folder, scratch, seed)
        guard = Guard(workload.trainer(args, seed))
        try:
            guard.trainer.train()
        except TrainingBroke as broke:
            print(f"seed {seed}: {broke}")
            return False
    losses = guard.log.losses
    judge = Judge(OutcomeRules(), len(losses), workload.chance_loss)
    found = [finding for loss in losses if (finding := judge.see(loss))]
    tail = sum(losses[-len(losses) // 4 :]) / len(losses[-len(losses) // 4 :])
    is_stable = not found and tail < 0.97 * workload.chance_loss
    outcome = Outcome.STABLE if is_stable else found[0].outcome if found else Outcome.COLLAPSED
    print(
        f"seed {seed}: {outcome}, {len(losses)} steps, loss first {losses[0]:.3f}, max {max(losses):.3f}, "
        f"last quarter {tail:.3f}, chance {workload.chance_loss:.3f}, lr {args.learning_rate:.3g}"
    )
    return is_stable


def arguments(folder: Path, scratch: str, seed: int) -> TrainingArguments:
    """Return recommended.json as it stands, but for the seeds and for writing nothing."""
    parser = HfArgumentParser((TrainingArguments,))
    (recommended,) = parser.parse_json_file(str(folder / "recommended.json"))
    kept = {**recommended.to_dict(), **QUIET, "output_dir": scratch, "seed": seed, "data_seed": seed}
    return TrainingArguments(**{key: value for key, value in kept.items() if value is not None})


if __name__ == "__main__":
    sys.exit(main())
