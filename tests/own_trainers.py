"""Trainers as their users make them, on a tiny model with running statistics and rows that carry a weight."""

import tempfile
from typing import Any

import torch
from odd_models import NormedClassifier, OddArguments, OddConfig, Weighted
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from stabsearch.trial.precision import enable_fp16_on_cpu


def make(
    trainer_class: type[Trainer] = Trainer, rows: Any = None, model: Any = None, **arguments: Any
) -> Trainer:
    """Return a Trainer, not yet started; ``fp16=True`` is real fp16, ``sharpness`` an argument of ours."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    values = {
        "output_dir": tempfile.gettempdir(), "use_cpu": True, "per_device_train_batch_size": 3,
        "max_steps": 8, "learning_rate": 1e-2, "lr_scheduler_type": "constant", "save_strategy": "no",
        "logging_steps": 1, "report_to": "none", "disable_tqdm": True, "seed": 3, **arguments,
    }  # fmt: skip
    trainer = trainer_class(
        model=NormedClassifier(OddConfig()) if model is None else model,
        args=(OddArguments if "sharpness" in arguments else TrainingArguments)(**values),
        train_dataset=Weighted(24) if rows is None else rows,
    )
    trainer.remove_callback(PrinterCallback)
    if arguments.get("fp16"):
        enable_fp16_on_cpu(trainer)
    return trainer


def everything(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of all weights and buffers."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in named}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Return whether all are equal, in every bit but that NaNs never are."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
