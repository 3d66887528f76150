"""What the guard costs a training step in which nothing fails: `python experiments/guard_cost.py`.

Four Trainers train side by side in one process and take turns, in another order each round: the stock
Trainer, the same without its NaN filter, and one with each form of the guard. A ratio compares turns of one
round. Prints medians and quartiles over the rounds: of processor time, with `--device cuda` of wall time.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from stabsearch.trial.accumulation import LossReference
from stabsearch.trial.forms import GuardForm
from stabsearch.trial.gauge import Gauge
from stabsearch.trial.guard import GuardLog
from stabsearch.trial.instrument import Guard

WARMUP_ROUNDS = 5
VOCABULARY = 8192
ONE_HEAP = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
}
"""Threads with heaps of their own differ by up to 8 %, all of them stock; glibc reads this when it starts."""


@dataclass(frozen=True)
class Size:
    """A BERT and its batch."""

    layers: int
    width: int
    rows: int
    length: int
    rounds: int
    steps: int
    """Optimizer steps per turn."""

    def __str__(self) -> str:
        return f"BERT of {self.layers} layers, width {self.width}; batch {self.rows} x {self.length}"


SIZES = {
    "cpu": [Size(2, 64, 16, 24, 300, 1), Size(4, 256, 8, 32, 120, 1), Size(4, 512, 8, 64, 40, 1)],
    "cuda": [Size(4, 256, 16, 64, 40, 20), Size(12, 768, 32, 128, 40, 20)],
}
CASES: dict[str, tuple[GuardForm | None, bool]] = {
    "stock": (None, True),
    "stock, filter off": (None, False),
    "plain": ("plain", False),
    "frozen": ("frozen", False),
}


class Turns:
    """Hands the processor around: one Trainer trains at a time, the others wait."""

    def __init__(self, names: list[str], rounds: int) -> None:
        order = random.Random(0)
        self._plan = [name for _ in range(rounds) for name in order.sample(names, len(names))]
        self._next = 0
        self._changed = threading.Condition()

    def wait_for(self, name: str) -> None:
        """Return when it is this one's turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._next >= len(self._plan) or self._plan[self._next] == name)

    def pass_on(self) -> None:
        """End a turn."""
        with self._changed:
            self._next += 1
            self._changed.notify_all()


class Timed(TrainerCallback):  # type: ignore[misc]
    """Takes turns of some steps and notes how long each took."""

    def __init__(self, name: str, size: Size, turns: Turns, clock: Callable[[], float]) -> None:
        self.seconds: list[float] = []
        self._name, self._size, self._turns, self._clock = name, size, turns, clock

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Wait for a turn."""
        if state.global_step % self._size.steps == 0:
            self._turns.wait_for(self._name)
            self._began = self._clock()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End it, after so many steps."""
        if state.global_step % self._size.steps == 0:
            self.seconds.append(self._clock() - self._began)
            self._turns.pass_on()


def measured(size: Size, device: str) -> dict[str, list[float]]:
    """Return the seconds of each turn, per case, round by round."""
    turns = Turns(list(CASES), size.rounds)
    timed = {name: Timed(name, size, turns, _clock(device)) for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        trainers = [_trainer(size, device, folder, *CASES[name], timed[name]) for name in CASES]
        threads = [threading.Thread(target=trainer.train) for trainer in trainers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {name: each.seconds[WARMUP_ROUNDS:] for name, each in timed.items()}


def _clock(device: str) -> Callable[[], float]:
    if device == "cpu":
        return time.process_time

    def after_the_device() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return after_the_device


def _trainer(
    size: Size, device: str, folder: str, form: GuardForm | None, is_filtered: bool, timed: Timed
) -> Trainer:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=size.width, num_hidden_layers=size.layers,
        num_attention_heads=size.width // 64, intermediate_size=4 * size.width,
    )  # fmt: skip
    args = TrainingArguments(
        output_dir=folder, max_steps=size.rounds * size.steps, per_device_train_batch_size=size.rows,
        use_cpu=device == "cpu", logging_nan_inf_filter=is_filtered, report_to="none", save_strategy="no",
        disable_tqdm=True, logging_strategy="no", dataloader_pin_memory=device != "cpu",
    )  # fmt: skip
    trainer = Trainer(BertForSequenceClassification(config), args, train_dataset=_rows(size))
    trainer.remove_callback(PrinterCallback)
    if form:
        Guard(trainer, reference=LossReference(trainer), form=form)
    trainer.add_callback(timed)
    return trainer


def _rows(size: Size) -> list[dict[str, torch.Tensor]]:
    ids = torch.randint(5, VOCABULARY, (8 * size.rows, size.length))
    mask = torch.ones_like(ids)
    mask[::2, -1] = 0
    return [
        {"input_ids": ids[i], "attention_mask": mask[i], "labels": torch.tensor(i % 2)}
        for i in range(len(ids))
    ]


def look_us() -> float:
    """Return the microseconds that it takes to read, beside a trial, how far it is: once a second."""
    gauge, log = Gauge(), GuardLog()
    for _ in range(1000):
        log.micro_loss(1.0)
        log.update(1.0, 1e-3)
    gauge.show(0, log)
    return min(timeit.repeat(gauge.read, number=10_000, repeat=5)) * 1e6 / 10_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=list(SIZES), default="cpu")
    parser.add_argument("--sizes", type=int, default=None, help="only so many of the sizes, smallest first")
    asked = parser.parse_args()
    if not ONE_HEAP.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_HEAP})
    torch.set_num_threads(1)
    name = torch.cuda.get_device_name() if asked.device == "cuda" else "1 thread"
    print(f"torch {torch.__version__}, {name}; milliseconds per step, and ratio to the stock step")
    print(f"a look at a running trial, once a second and beside it: {look_us():.1f} us")
    for size in SIZES[asked.device][: asked.sizes]:
        seconds = measured(size, asked.device)
        print(f"{size}, {size.rounds - WARMUP_ROUNDS} rounds")
        for case, own in seconds.items():
            ratios = [mine / stock for mine, stock in zip(own, seconds["stock"], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            per_step = 1e3 * statistics.median(own) / size.steps
            print(f"  {case:18} {per_step:8.2f} ms   {middle:.3f} (quartiles {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
