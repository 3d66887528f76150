"""What only a GPU can show, as one command: ``python experiments/gpu_check.py``.

Trials of a BERT-base (random weights, batch 32 x 128) in every precision and both forms of the guard, in one
warm process: number formats are read back, outcome, first bad step and first weights have to be the same in
both forms, and the share of time in steps is printed. Then the tests marked ``gpu``, the guard's cost and the
speed benchmark on the device. Trials need neither Ray nor Optuna, MLflow or pydantic (``--trials-only``);
``--device cpu --tiny`` tries the program itself without a GPU.

Copy what it prints into ``experiments/LOG.md``.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import torch
import transformers
from transformers import AutoModelForSequenceClassification

from stabsearch.records import Outcome, Precision, Stage, TrialPlan, TrialRecord
from stabsearch.records.precision import NUMBER_FORMATS
from stabsearch.task.models import ModelFromConfig
from stabsearch.task.padding import TextPadding
from stabsearch.task.quickstart import word_tokenizer
from stabsearch.task.rows import Ragged, TokenRows
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.run import run_trial
from stabsearch.trial.setup import TrialSetup

RATES = {"gentle": 2e-5, "too large": 3e-2, "absurd": 1e30}
FORMS: tuple[Literal["plain", "frozen"], ...] = ("plain", "frozen")


@dataclass(frozen=True)
class Size:
    """Of the model and its batches."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    rows: int = 32
    tokens: int = 128
    steps: int = 100
    vocabulary: int = 30_522


TINY = Size(hidden_size=32, num_hidden_layers=1, rows=4, tokens=16, steps=12, vocabulary=200)


def main() -> None:
    """Run everything; the exit code is 1 if the two forms differ or a precision was not what it says."""
    parser = argparse.ArgumentParser(description="what only a GPU can show")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the program")
    parser.add_argument("--trials-only", action="store_true", help="no tests and no benchmarks")
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    name = torch.cuda.get_device_name() if on_gpu else platform.processor() or "CPU"
    print(f"{name}; torch {torch.__version__}, transformers {transformers.__version__}, "
          f"Python {platform.python_version()}")  # fmt: skip
    is_sound = _trials(TINY if options.tiny else Size(), on_gpu)
    if not options.trials_only:
        for command in (
            [sys.executable, "-m", "pytest", "-m", "gpu", "-q"],
            [sys.executable, "experiments/guard_cost.py", "--device", options.device],
            [sys.executable, "-m", "experiments.speed_benchmark", "--device", options.device],
        ):
            print("\n$", " ".join(command), flush=True)
            is_sound &= subprocess.run(command, check=False).returncode == 0
    sys.exit(not is_sound)


def _trials(size: Size, on_gpu: bool) -> bool:
    """Print one line per precision and learning rate; return whether both forms agree everywhere."""
    workload, is_sound = _workload(size), True
    precisions: list[Precision] = [
        precision for precision, each in NUMBER_FORMATS.items() if on_gpu or each.on_cpu != "never"
    ]
    print(
        "precision  rate       outcome        bad step  autocast  weights   matmul  scaler  in steps  agree"
    )
    for precision, (rate_name, rate) in product(precisions, RATES.items()):
        plain, frozen = (_trial(workload, size, precision, rate, form, on_gpu) for form in FORMS)
        agree = _agree(plain, frozen)
        is_sound &= agree and plain.outcome is not Outcome.CRASHED
        _line(precision, rate_name, plain, agree)
    return is_sound


def _trial(
    workload: RowWorkload, size: Size, precision: Precision, rate: float, form: Literal["plain", "frozen"],
    on_gpu: bool,
) -> TrialRecord:  # fmt: skip
    setup = TrialSetup(
        max_steps=10 * size.steps, training={"per_device_train_batch_size": size.rows}, on_gpu=on_gpu,
        allow_fp16_on_cpu=True, guard=form,
    )  # fmt: skip
    clip = 0.0 if rate > 1 else 1.0
    return run_trial(TrialPlan(0, Stage.SEARCH, rate, 0, clip, precision, 1, 2, size.steps), workload, setup)


def _agree(one: TrialRecord, other: TrialRecord) -> bool:
    """Return whether both forms saw the same: on a GPU, losses may differ in their last bits."""
    kept = ("outcome", "first_bad_step", "initial_weights", "skipped_steps")
    return all(getattr(one, name) == getattr(other, name) for name in kept)


def _line(precision: str, rate_name: str, record: TrialRecord, agree: bool) -> None:
    effective, share = record.effective, record.train_s / max(record.train_s + record.startup_s, 1e-9)
    said = "nothing was read back".ljust(36)
    if effective is not None:
        said = (
            f"{effective.autocast_dtype:9} {effective.parameter_dtype:9} {effective.matmul_precision:7} "
            f"{effective.loss_scaler!s:7}"
        )
    bad = "-" if record.first_bad_step is None else str(record.first_bad_step)
    print(
        f"{precision:10} {rate_name:10} {record.outcome.value:14} {bad:9} {said} {share:8.1%}  {agree}"
        f"{'' if record.outcome is Outcome.STABLE else f'  {record.message}'}",
        flush=True,
    )


def _workload(size: Size) -> RowWorkload:
    """Return rows of one length whose class is told by their first token."""
    rng, num_rows = np.random.default_rng(0), 64 * size.rows
    ids_NT = rng.integers(2, size.vocabulary, size=(num_rows, size.tokens), dtype=np.int64)
    labels_N = ids_NT[:, 0] % 2
    tokenizer = word_tokenizer(num_classes=2)
    config = {
        "model_type": "bert", "vocab_size": size.vocabulary, "hidden_size": size.hidden_size,
        "num_hidden_layers": size.num_hidden_layers, "num_attention_heads": max(1, size.hidden_size // 64),
        "intermediate_size": 4 * size.hidden_size,
    }  # fmt: skip
    return RowWorkload(
        rows=TokenRows({"input_ids": Ragged.of(ids_NT.tolist()), "labels": labels_N}),
        chance_loss=float(np.log(2)),
        tokenizer=tokenizer,
        collator=TextPadding(tokenizer),
        make_model=ModelFromConfig(config, AutoModelForSequenceClassification, num_labels=2),
    )


if __name__ == "__main__":
    main()
