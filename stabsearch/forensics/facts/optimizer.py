"""What the optimizer will do with the gradients, read from the TrainingArguments or the live optimizer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OptimizerFacts:
    """Settings of an optimizer."""

    name: str = "AdamW"
    """Class of the optimizer."""
    learning_rate: float = 5e-5
    betas: tuple[float, float] | None = (0.9, 0.999)
    """None: no Adam."""
    eps: float | None = 1e-8
    """Added to the root of the second moment; None: there is none."""
    weight_decay: float = 0.0
    corrects_bias: bool = True
    """Moments are corrected for their start at zero."""
    dtypes: tuple[str, ...] = ("float32",)
    """Dtypes of the weights, and so of the moments."""
    num_foreign: int = 0
    """Weights of the optimizer that are not the model's."""
    num_missing: int = 0
    """Trained weights of the model that the optimizer does not hold."""

    @property
    def is_adam(self) -> bool:
        """Return whether it divides by the root of a second moment."""
        return self.betas is not None


def optimizer_facts(trainer: Any, dtypes: tuple[str, ...]) -> OptimizerFacts | None:
    """Return the settings that the Trainer's optimizer has or will have; None where they cannot be read."""
    if trainer.optimizer is not None:
        return _of_instance(trainer.optimizer, trainer.model, dtypes)
    from transformers import Trainer

    if type(trainer).create_optimizer is not Trainer.create_optimizer or trainer.optimizer_cls_and_kwargs:
        return None
    try:
        kind, settings = trainer.get_optimizer_cls_and_kwargs(trainer.args, trainer.model)
    except (ImportError, ValueError, TypeError, RuntimeError):
        return None  # a package that is missing here may be there where it trains
    weight_decay = settings.get("weight_decay", trainer.args.weight_decay)
    return _of_settings(kind.__name__, {**settings, "weight_decay": weight_decay}, dtypes)


def _of_settings(name: str, settings: dict[str, Any], dtypes: tuple[str, ...]) -> OptimizerFacts:
    betas, eps = settings.get("betas"), settings.get("eps")
    return OptimizerFacts(
        name=name,
        learning_rate=_number(settings.get("lr"), math.nan),
        betas=(float(betas[0]), float(betas[1])) if betas is not None and len(betas) >= 2 else None,
        eps=float(eps) if isinstance(eps, int | float) else None,
        weight_decay=_number(settings.get("weight_decay"), 0.0),
        corrects_bias=bool(settings.get("correct_bias", settings.get("bias_correction", True))),
        dtypes=dtypes,
    )


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) or hasattr(value, "item") else otherwise


def _of_instance(optimizer: Any, model: Any, dtypes: tuple[str, ...]) -> OptimizerFacts:
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    worst = max(optimizer.param_groups, key=lambda group: _number(group.get("weight_decay"), 0.0))
    facts = _of_settings(type(optimizer).__name__, {**optimizer.defaults, **_settings(worst)}, dtypes)
    held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    trained = {id(weight) for weight in model.parameters() if weight.requires_grad}
    known = {id(weight) for weight in model.parameters()}
    return OptimizerFacts(
        **{**vars(facts), "num_foreign": len(held - known), "num_missing": len(trained - held)}
    )


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}
