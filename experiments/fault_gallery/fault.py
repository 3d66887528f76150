"""What a registry entry says: what was planted, where, and the trial that suffers from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stabsearch.records import Cause, Outcome, Precision, Stage, TrialPlan
from stabsearch.task.base import Workload
from stabsearch.trial.setup import TrialSetup

EVERYWHERE: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
BATCH_ROWS = 8
MAX_STEPS = 400  # chosen: ten times the longest horizon, a prefix of a longer run
SILENT = (Outcome.STABLE,)
"""Training runs to its horizon with finite numbers, and means nothing."""
RAISED = (Outcome.CRASHED, Outcome.DATA_FAULT)
"""The training code raises, whether or not the trial can say why."""
BAD_BATCH = (Outcome.DATA_FAULT,)
BAD_AT_ONCE = (Outcome.DATA_FAULT, Outcome.NONFINITE, Outcome.SCALE_FLOOR)
"""The first batch is bad; whose fault it is takes more than a trial."""
BROKEN = (Outcome.NONFINITE,)
WORSE = (Outcome.NONFINITE, Outcome.DIVERGED, Outcome.SCALE_FLOOR)


@dataclass(frozen=True)
class Fault:
    """A planted fault, or a healthy control whose ``cause`` is None."""

    name: str
    story: str
    """What was planted, in one line."""
    build: Callable[[int], Workload]
    """Seed -> workload with the fault in it."""
    family: str
    cause: Cause | None
    outcomes: tuple[Outcome, ...]
    """How its trial may end."""
    precisions: tuple[Precision, ...] = EVERYWHERE
    rows: Callable[[int], tuple[int, ...]] | None = None
    """Seed -> rows of the data set that the fault was planted in, from 0; None: not in single rows."""
    learning_rate: float = 3e-3
    horizon: int = 20
    max_grad_norm: float = 1.0
    training: Mapping[str, Any] = field(default_factory=dict)
    """TrainingArguments fields."""

    def plan(self, seed: int, precision: Precision) -> TrialPlan:
        """Return the plan of its trial."""
        return TrialPlan(
            number=0, stage=Stage.SEARCH, learning_rate=self.learning_rate, warmup_steps=0,
            max_grad_norm=self.max_grad_norm, precision=precision, model_seed=seed, data_seed=seed,
            horizon=self.horizon,
        )  # fmt: skip

    def setup(self) -> TrialSetup:
        """Return what its trial is a prefix of."""
        training = {"per_device_train_batch_size": BATCH_ROWS, **self.training}
        return TrialSetup(max_steps=MAX_STEPS, training=training, allow_fp16_on_cpu=True)
