"""What can be searched: the one table that sweep, study, trial, frontier and reports go by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from stabsearch.records.precision import PRECISIONS

Value: TypeAlias = float | int | str
Scale: TypeAlias = Literal["log", "log_or_none", "steps", "memory", "linear", "category"]
"""How values resemble each other, see ``PLACES``; two of a ``category`` are equal, or nothing is known."""
Role: TypeAlias = Literal["intensity", "context", "further"]
"""``intensity``: what breaks training when it is too large; ``context``: part of every context;
``further``: part of a context where a sweep searches it, otherwise as in its section ``training``."""
Part: TypeAlias = Literal["schedule", "gradients", "numbers", "optimizer", "batch"]
Gentlest: TypeAlias = Literal["lowest", "highest", "usual"]

TENTH = 0.1  # chosen: weight decays this far apart resemble each other like e-fold batch sizes

PLACES: Mapping[Scale, Callable[[float], float]] = MappingProxyType(
    {
        "log": math.log,
        "log_or_none": lambda value: math.log(value) if value else -math.inf,  # 0, none, resembles nothing
        "steps": math.log1p,
        "memory": lambda value: -math.log1p(-value),  # log of the steps that an average remembers
        "linear": lambda value: value / TENTH,
    }
)
"""Where a value stands; two that are 1 apart resemble each other little."""

LION = frozenset({"lion_8bit", "lion_32bit", "paged_lion_32bit", "paged_lion_8bit"})
LOMO = frozenset({"lomo", "adalomo"})
NO_ADAM = LOMO | {
    "adafactor", "sgd", "adagrad", "rmsprop", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit",
    "galore_adamw", "galore_adamw_8bit", "galore_adafactor", "galore_adamw_layerwise",
    "galore_adamw_8bit_layerwise", "galore_adafactor_layerwise", "grokadamw", "schedule_free_sgd",
}  # fmt: skip
"""Optimizers that are not handed Adam's betas and epsilon: ``transformers.trainer_optimizer``, 5.24."""


@dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter: what it is, what it may be, and how a trial comes to run with it."""

    name: str
    """In Hugging Face's words, wherever it has a name: plans, study, tables, MLflow."""
    key: str
    """Under ``search`` in a sweep."""
    role: Role
    short: str
    """Before its value in labels and names of runs; empty where the value says it all."""
    unit: str
    scale: Scale
    usual: Value
    """Transformers' default, which is what most people train with."""
    part: Part
    """What of the training it changes."""
    arguments: tuple[str, ...]
    """Fields of TrainingArguments that set it; a sweep that searches it sets them itself."""
    effective: str
    """What of ``Effective`` shows that it was applied."""
    takes_effect: str
    examples: tuple[Value, ...]
    """Values of a sweep that is worth its trials."""
    low: float = 0.0
    """Least value there is."""
    is_low_included: bool = True
    below: float = math.inf
    """All values lie below it."""
    is_whole: bool = False
    gentlest: Gentlest = "usual"
    """Which of several values a conservative baseline takes; ``usual``: the one most like ``usual``."""
    lacking: frozenset[str] = frozenset()
    """Values of ``optim`` that it means nothing to."""
    sets_pace: bool = False
    """Whether equal learning rates make unequal progress per step: a trial is slow, or not, only among
    trials of the same value."""

    @property
    def allowed(self) -> str:
        """Return the legal values in words.

        >>> HYPERPARAMETERS["adam_beta2"].allowed, HYPERPARAMETERS["adam_epsilon"].allowed
        ('a number from 0 and below 1', 'a number above 0')
        """
        if self.scale == "category":
            return f"one of {', '.join(PRECISIONS)}"
        above = f"{'from' if self.is_low_included else 'above'} {self.low:g}"
        below = f" and below {self.below:g}" if math.isfinite(self.below) else ""
        return f"a{' whole' * self.is_whole} number {above}{below}"

    def is_legal(self, value: Any) -> bool:
        """Return whether a trial could run with this value."""
        if self.scale == "category":
            return value in PRECISIONS
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        is_above = value >= self.low if self.is_low_included else value > self.low
        return is_above and value < self.below and not (self.is_whole and value != int(value))

    def read(self, value: Any) -> Value:
        """Return a value of a table or a file as a plain number or text.

        >>> HYPERPARAMETERS["per_device_train_batch_size"].read(16.0)
        16

        Raises:
            ValueError: no trial could run with it.
        """
        if self.scale == "category":
            return str(value)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not self.is_legal(number):
            raise ValueError(f"allowed: {self.allowed}")
        return int(number) if self.is_whole else number

    def place(self, value: Value) -> float:
        """Return where a value stands on its scale.

        Raises:
            ValueError: it stands nowhere: a category, or a number that the scale does not reach.
        """
        if self.scale == "category":
            raise ValueError(f"{self.name} has no scale")
        return PLACES[self.scale](float(value))

    def label(self, value: Value) -> str:
        """Return a value as labels show it.

        >>> HYPERPARAMETERS["adam_epsilon"].label(1e-6), HYPERPARAMETERS["max_grad_norm"].label(0.0)
        ('eps 1e-6', 'no clip')
        """
        if not self.short:
            return str(value)
        is_none = self.scale == "log_or_none" and not value
        return f"no {self.short}" if is_none else f"{self.short} {number(value)}"

    def gentle(self, values: Sequence[Value]) -> Value:
        """Return which of some values a conservative baseline takes.

        >>> HYPERPARAMETERS["adam_beta2"].gentle([0.9, 0.98])
        0.98
        """
        if self.gentlest == "usual":
            return self.by_distance(values)[0]
        return (min if self.gentlest == "lowest" else max)(values, key=self.place)

    def by_distance(self, values: Sequence[Value]) -> list[Value]:
        """Return the values in order, the one most like the usual one first."""
        home = self.place(self.usual)
        return sorted(values, key=lambda value: (abs(self.place(value) - home), self.place(value)))


def number(value: Value) -> str:
    """Return a number in as few characters as tell it from others.

    >>> number(1e-6), number(0.999), number(16), number(0.0)
    ('1e-6', '0.999', '16', '0')
    """
    mantissa, _, exponent = f"{float(value):.12g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


_ROWS = (
    Hyperparameter(
        "learning_rate", "learning_rate", "intensity", "lr",
        unit="per optimizer step, at its peak", scale="log", usual=5e-5, part="schedule",
        arguments=("learning_rate",), effective="peak_learning_rate",
        takes_effect="the scheduler gives it to every group of parameters once the warmup is over",
        examples=(1e-6, 1e-2), is_low_included=False,
    ),
    Hyperparameter(
        "precision", "precision", "context", "",
        unit="number format", scale="category", usual="fp32", part="numbers",
        arguments=("bf16", "fp16", "tf32"), effective="autocast_dtype",
        takes_effect="Accelerate wraps the model's forward and makes the scaler; bf16-pure casts the model",
        examples=("fp32", "bf16"),
    ),
    Hyperparameter(
        "warmup_steps", "warmup", "context", "warmup",
        unit="optimizer steps of the full run", scale="steps", usual=0, part="schedule",
        arguments=("warmup_steps", "warmup_ratio"), effective="peak_learning_rate",
        takes_effect="the scheduler raises the learning rate linearly over these steps",
        examples=(0, 0.06), is_whole=True, gentlest="highest",
    ),
    Hyperparameter(
        "max_grad_norm", "max_grad_norm", "context", "clip",
        unit="global L2 norm of the gradients; 0: no clipping", scale="log_or_none", usual=1.0,
        part="gradients", arguments=("max_grad_norm",), effective="max_grad_norm",
        takes_effect="the Trainer scales gradients with a larger norm down before the optimizer steps",
        examples=(0, 1.0),
    ),
    Hyperparameter(
        "weight_decay", "weight_decay", "further", "wd",
        unit="share of a weight, times the learning rate, per optimizer step", scale="linear", usual=0.0,
        part="optimizer", arguments=("weight_decay",), effective="weight_decay",
        takes_effect="the Trainer gives it to the group of parameters that decay: no biases, no norms",
        examples=(0, 0.1), gentlest="lowest", lacking=LOMO,
    ),
    Hyperparameter(
        "adam_beta1", "adam_beta1", "further", "b1",
        unit="share of the mean gradient that an optimizer step keeps", scale="memory", usual=0.9,
        part="optimizer", arguments=("adam_beta1",), effective="adam_beta1",
        takes_effect="the optimizer is made with it", examples=(0.9, 0.95), below=1.0, lacking=NO_ADAM,
    ),
    Hyperparameter(
        "adam_beta2", "adam_beta2", "further", "b2",
        unit="share of the mean squared gradient that an optimizer step keeps", scale="memory", usual=0.999,
        part="optimizer", arguments=("adam_beta2",), effective="adam_beta2",
        takes_effect="the optimizer is made with it", examples=(0.999, 0.95), below=1.0, lacking=NO_ADAM,
    ),
    Hyperparameter(
        "adam_epsilon", "adam_epsilon", "further", "eps",
        unit="of a gradient: added to the root of its mean square", scale="log", usual=1e-8,
        part="optimizer", arguments=("adam_epsilon",), effective="adam_epsilon",
        takes_effect="the optimizer is made with it", examples=(1e-8, 1e-6), is_low_included=False,
        lacking=NO_ADAM | LION, sets_pace=True,
    ),
    Hyperparameter(
        "per_device_train_batch_size", "per_device_train_batch_size", "further", "batch",
        unit="rows per micro-batch and process", scale="log", usual=8, part="batch",
        arguments=("per_device_train_batch_size",), effective="batch_rows",
        takes_effect="the sampler of the training dataloader puts so many rows together",
        examples=(16, 32), low=1, is_whole=True, gentlest="highest", sets_pace=True,
    ),
    Hyperparameter(
        "gradient_accumulation_steps", "gradient_accumulation_steps", "further", "accum",
        unit="micro-batches per optimizer step", scale="log", usual=1, part="batch",
        arguments=("gradient_accumulation_steps",), effective="gradient_accumulation_steps",
        takes_effect="the Trainer adds up the gradients of so many micro-batches before the optimizer steps",
        examples=(1, 4), low=1, is_whole=True, gentlest="highest", sets_pace=True,
    ),
)  # fmt: skip

HYPERPARAMETERS: Mapping[str, Hyperparameter] = MappingProxyType({row.name: row for row in _ROWS})
"""Every hyperparameter by name, in the order in which tables list them."""


def of_role(*roles: Role) -> tuple[Hyperparameter, ...]:
    """Return the hyperparameters that play one of these roles, in order."""
    return tuple(row for row in _ROWS if row.role in roles)


FURTHER: tuple[Hyperparameter, ...] = of_role("further")
"""Those that a sweep may search beside learning rate, precision, warmup and clip norm."""
IN_CONTEXT: tuple[Hyperparameter, ...] = of_role("context", "further")
"""Everything but the learning rate, as the fields of a ``Context``."""
