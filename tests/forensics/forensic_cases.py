"""Trials that break, each for one reason, on tiny models."""

import sys
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parent.parent / "trial"))

from trial_samples import NanLoss, Odd, WeightedTrainer, build_tiny, plan, setup

from stabsearch.forensics.ladder import Case

CPU_FP16 = {"allow_fp16_on_cpu": True}


def too_large_for_fp32(model: Any) -> None:
    """Give the embeddings weights whose squares float32 cannot hold."""
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.mul_(1e30)


def case(workload: Any = None, training: dict[str, Any] | None = None, **changes: Any) -> Case:
    """Return a case on the tiny workload, with some of its plan changed."""
    return Case(workload or build_tiny(), plan(**changes), setup(training=training or {}, **CPU_FP16))


def poisoned_row(bad: int = 17) -> Case:
    """Return a trial with a NaN in one row."""
    tiny = build_tiny()
    return case(Odd(tiny, WeightedTrainer, NanLoss(tiny.rows, bad=bad)), horizon=16)
