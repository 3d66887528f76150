"""What being ready for a capture costs a training in which nothing fails: `python experiments/guard_cost.py`.

Times, inside one run, the part of each training step that only a capture needs (row numbers, random state,
changing buffers, references), as a share of that step. Prints the median over steps and its quartiles.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.trainer_callback import PrinterCallback

from stabsearch.config import QuickstartTask
from stabsearch.task.quickstart import build as build_quickstart
from stabsearch.trial.instrument import Guard

STEPS = 200
MODELS = {"2 layers, width 64": (64, 2), "6 layers, width 384": (384, 6)}


def shares(hidden_size: int, num_hidden_layers: int) -> list[float]:
    """Return the share of each step that a capture's readiness takes, processor time."""
    task = QuickstartTask(num_rows=1024, hidden_size=hidden_size, num_hidden_layers=num_hidden_layers)
    workload = build_quickstart(task)
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder,
            max_steps=STEPS,
            per_device_train_batch_size=16,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            logging_strategy="no",
            remove_unused_columns=False,
        )
        trainer = workload.trainer(args, 0)
        trainer.remove_callback(PrinterCallback)
        guard: Any = Guard(trainer)
        ready: list[float] = []
        whole: list[float] = []
        guard._micro_batch = _timed(guard._micro_batch, ready)
        trainer.training_step = _timed(trainer.training_step, whole)
        trainer.train()
    return [part / step for part, step in zip(ready, whole, strict=True)][5:]


def _timed(call: Any, seconds: list[float]) -> Any:
    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.process_time()
        found = call(*args, **kwargs)
        seconds.append(time.process_time() - began)
        return found

    return timed


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, {STEPS} steps, batch 16")
    for name, (hidden_size, num_hidden_layers) in MODELS.items():
        low, middle, high = statistics.quantiles(shares(hidden_size, num_hidden_layers), n=4)
        print(f"{name}: {middle:.3%} of a step (quartiles {low:.3%} to {high:.3%})")


if __name__ == "__main__":
    main()
