"""What Python on a page takes as given, by its name in a comment: ``<!-- given: trainer -->``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Trial
    from transformers import Trainer


def trainer() -> Trainer:
    """Return a Trainer of the quickstart's tiny model, which has not trained yet."""
    from transformers import TrainingArguments

    from stabsearch.config import QuickstartTask
    from stabsearch.task.registry import build_workload

    task = QuickstartTask(hidden_size=16, num_rows=64)
    arguments = TrainingArguments(
        output_dir="trained", max_steps=4, report_to="none", save_strategy="no", disable_tqdm=True
    )
    return build_workload(task).trainer(arguments, 0)


def objective() -> Callable[[Trial], float]:
    """Return an objective that breaks above a learning rate of 1e-2."""

    def train(trial: Trial) -> float:
        return float(trial.suggest_float("learning_rate", 1e-5, 1.0, log=True) < 1e-2)

    return train


GIVENS: Mapping[str, Callable[[], Any]] = {"trainer": trainer, "objective": objective}
