"""What is run: the same trials for every method."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

RATES = (1e-5, 1e-3)
"""Learning rates at which no trial breaks: a trial that ends early would be a gift to whoever stops it."""
EVALUATED_ROWS = 16
"""Hugging Face's search evaluates each trial: one batch is the least it can be given."""


@dataclass(frozen=True)
class Setting:
    """One sweep."""

    trials: int = 50
    steps: int = 40
    """Optimizer steps of a trial."""
    hidden_size: int = 64
    num_hidden_layers: int = 2
    batch: int = 16
    slots: int = 2
    """Trials at a time, one processor core and one thread each; a method that runs one at a time gets all
    cores as threads."""
    device: str = "cpu"

    @classmethod
    def load(cls, folder: Path) -> Setting:
        """Return what ``save`` wrote."""
        return cls(**json.loads((folder / "setting.json").read_text(encoding="utf-8")))

    def save(self, folder: Path) -> None:
        """Write it for the process of a method."""
        (folder / "setting.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @property
    def rates(self) -> list[float]:
        """Return the learning rate of each trial, for methods that do not search."""
        return [float(rate) for rate in np.geomspace(*RATES, self.trials)]

    @cached_property
    def workload(self) -> Any:
        """Return model maker, rows and collator, the same for all methods."""
        from stabsearch.config import QuickstartTask
        from stabsearch.task.registry import build_workload

        task = QuickstartTask(hidden_size=self.hidden_size, num_hidden_layers=self.num_hidden_layers)
        return build_workload(task)

    def arguments(self, folder: Path, **changes: Any) -> Any:
        """Return TrainingArguments that save and report nothing: what a careful user would write."""
        from transformers import TrainingArguments

        return TrainingArguments(
            output_dir=str(folder / "trainer"), max_steps=self.steps, per_device_train_batch_size=self.batch,
            per_device_eval_batch_size=EVALUATED_ROWS, use_cpu=self.device == "cpu", report_to="none",
            save_strategy="no", eval_strategy="no", logging_strategy="no", disable_tqdm=True,
            lr_scheduler_type="constant_with_warmup", **changes,
        )  # fmt: skip

    def first_rows(self) -> list[dict[str, Any]]:
        """Return the few rows that are evaluated."""
        return [self.workload.rows[index] for index in range(EVALUATED_ROWS)]
