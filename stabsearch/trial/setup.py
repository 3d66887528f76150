"""What all trials of a sweep have in common: plain data that travels to every worker."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from stabsearch.records import OutcomeRules

if TYPE_CHECKING:
    from stabsearch.records import TrialPlan
    from stabsearch.task.base import Workload


@dataclass(frozen=True)
class TrialSetup:
    """The full run that trials are prefixes of, and how they are judged."""

    max_steps: int
    """Optimizer steps of the full run: the schedule is built for these."""
    schedule: Literal["hold", "exact"] = "hold"
    """After the warmup: hold the peak learning rate, or follow the full run's schedule."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """The user's TrainingArguments fields."""
    rules: OutcomeRules = field(default_factory=OutcomeRules)
    accumulation: Literal["report", "fix"] = "report"
    """Of a loss that gradient accumulation multiplies: train so, as the full run does, or have it divided."""
    on_gpu: bool = False
    """Trials were given a GPU and must run on it; otherwise they run on the CPU, GPU or not."""
    allow_fp16_on_cpu: bool = False
    bundle_dir: str = ""
    """Where bundles of first bad batches go; empty: none are kept."""
    max_bundle_bytes: int = 0
    """Disk budget of all bundles together."""
    trust_remote_code: bool = False
    """Whether the task may run code that comes with a model; a bundle's replay asks for it too."""
    guard: Literal["auto", "plain", "frozen"] = "auto"
    """Form of the guard: reads each number at once, or later without waiting; auto: frozen on a GPU."""
    num_threads: int = 1
    """Processor threads per process; the same number is needed for a bit-exact replay."""
    num_processes: int = 1
    """Processes that train one trial together."""
    chance_loss: float | None = None
    """Loss of the trivial predictor, for a workload that does not know it itself."""

    def chance_loss_of(self, workload: Workload) -> float:
        """Return the loss of the trivial predictor of a workload; NaN where nobody knows it."""
        known = workload.chance_loss
        return self.chance_loss if math.isnan(known) and self.chance_loss is not None else known

    def training_of(self, plan: TrialPlan) -> dict[str, Any]:
        """Return the TrainingArguments fields of one trial, as far as somebody chose them."""
        return {**self.training, **plan.context.further}
