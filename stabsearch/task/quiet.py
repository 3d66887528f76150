"""A trial saves and reports nothing, and evaluates nothing on its way, whatever the user's code wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import EarlyStoppingCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

if TYPE_CHECKING:
    from transformers import Trainer, TrainingArguments

BESIDE_THE_TRAINING = (
    "output_dir", "save_strategy", "eval_strategy", "logging_strategy", "load_best_model_at_end",
    "push_to_hub", "disable_tqdm", "auto_find_batch_size", "logging_nan_inf_filter",
)  # fmt: skip
"""Arguments that decide nothing of what is measured, and much of what it leaves behind."""


def make_quiet(trainer: Trainer, args: TrainingArguments) -> None:
    """Give a Trainer the arguments of a trial that keep it quiet, and take away callbacks that would not be.

    Early stopping waits for evaluations, and trackers would show every trial as a run of the user's.

    Args:
        trainer: made by the user's code, perhaps on arguments of its own.
        args: the trial's.
    """
    for name in BESIDE_THE_TRAINING:
        setattr(trainer.args, name, getattr(args, name))
    for callback in (EarlyStoppingCallback, *INTEGRATION_TO_CALLBACK.values()):
        trainer.remove_callback(callback)
