"""How the processes of a trial find each other."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from torch import distributed

if TYPE_CHECKING:
    from stabsearch.trial.setup import TrialSetup


def join(meeting: Path, setup: TrialSetup, timeout_s: float) -> None:
    """Meet the other processes, once: the group outlives the trial, and Accelerate uses it as it is.

    Args:
        meeting: file that all of them can write, and that no earlier group has used.
        setup: its ``num_processes`` meet; ``training.ddp_backend`` is how their GPUs speak, default NCCL.
        timeout_s: time limit of a trial. Whoever started the processes ends them then; that one of them
            gives up waiting by itself is for the case that nobody does.
    """
    if distributed.is_initialized():
        return
    between_gpus = setup.training.get("ddp_backend") or "nccl"
    distributed.init_process_group(
        f"cpu:gloo,cuda:{between_gpus}" if setup.on_gpu else "gloo",
        store=distributed.FileStore(str(meeting), setup.num_processes),  # type: ignore[attr-defined]
        rank=int(os.environ["RANK"]),
        world_size=setup.num_processes,
        timeout=timedelta(seconds=2 * timeout_s),
    )
