"""Bare training loops without any search: what the hardware gives, one process per slot."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from experiments.speed_benchmark.events import Trained, tell
from experiments.speed_benchmark.setting import Setting


def run(setting: Setting, folder: Path) -> None:
    """Run every trial, shared out among processes as they are started."""
    command = [sys.executable, "-m", __name__, str(folder)]
    processes = [subprocess.Popen([*command, str(slot)]) for slot in range(setting.slots)]
    if any(process.wait() for process in processes):
        raise RuntimeError("a bare loop failed")


def loops(setting: Setting, folder: Path, slot: int) -> None:
    """Run the trials of one slot."""
    torch.set_num_threads(1)
    for number in range(slot, setting.trials, setting.slots):
        loop(setting, folder, number)


def loop(setting: Setting, folder: Path, number: int) -> None:
    """Train one model, with clipping and AdamW as the Trainer has them."""
    model = setting.workload.model(number).to(setting.device).train()
    loader = DataLoader(
        setting.workload.rows, batch_size=setting.batch, shuffle=True, collate_fn=setting.workload.collator,
        generator=torch.Generator().manual_seed(number),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=setting.rates[number], fused=True)
    first, steps = time.time(), 0
    while steps < setting.steps:
        for batch in loader:
            loss = model(**{name: value.to(setting.device) for name, value in batch.items()}).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            steps += 1
            if steps == setting.steps:
                break
    if setting.device != "cpu":
        torch.cuda.synchronize()
    tell(folder, Trained(str(os.getpid()), first, time.time(), steps))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    loops(Setting.load(place), place, int(sys.argv[2]))
