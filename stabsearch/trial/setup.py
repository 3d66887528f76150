"""What all trials of a sweep have in common: plain data that travels to every worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stabsearch.records import OutcomeRules


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
    on_gpu: bool = False
    """Trials were given a GPU and must run on it; otherwise they run on the CPU, GPU or not."""
    allow_fp16_on_cpu: bool = False
    bundle_dir: str = ""
    """Where bundles of first bad batches go; empty: none are kept."""
    max_bundle_bytes: int = 0
    """Disk budget of all bundles together."""
    trust_remote_code: bool = False
    """Whether the task may run code that comes with a model; a bundle's replay asks for it too."""
    num_threads: int = 1
    """Processor threads per trial; the same number is needed for a bit-exact replay."""
