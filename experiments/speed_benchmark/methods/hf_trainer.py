"""The Trainer that Hugging Face's own search is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.trainer_callback import PrinterCallback

from experiments.speed_benchmark.events import Clock
from experiments.speed_benchmark.setting import Setting


class ModelInit:
    """Makes a fresh model for each trial; a plain object, so that Ray can send it to its workers."""

    def __init__(self, make_model: Any) -> None:
        self._make_model = make_model

    def __call__(self, trial: Any = None) -> Any:
        """Return a fresh model."""
        return self._make_model(0)


def searching_trainer(setting: Setting, folder: Path, **changes: Any) -> Trainer:
    """Return a Trainer that can make its model anew, with the few rows that it insists on evaluating."""
    workload = setting.workload
    trainer = Trainer(
        model_init=ModelInit(workload.make_model), args=setting.arguments(folder, **changes),
        train_dataset=workload.rows, eval_dataset=setting.first_rows(), data_collator=workload.collator,
        callbacks=[Clock(folder)],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer
