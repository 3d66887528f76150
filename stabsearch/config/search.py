"""What a sweep varies: the section ``search``."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from stabsearch.config.part import Part, wrong
from stabsearch.records.hyperparameters import FURTHER, HYPERPARAMETERS, IN_CONTEXT, Value, of_role
from stabsearch.records.precision import Precision

SamplerName = Literal["frontier", "tpe", "random", "grid", "gp", "qmc"]

FROM_YAML_LIST = Field(strict=False, min_length=1)
"""A tuple that a YAML list may fill; its items stay strict."""


def legal(name: str) -> Any:
    """Return the legal bounds of a hyperparameter's values, from the table, as a field's."""
    row = HYPERPARAMETERS[name]
    bounds: dict[str, Any] = {"ge" if row.is_low_included else "gt": row.low}
    if math.isfinite(row.below):
        bounds["lt"] = row.below
    return Field(**bounds)


SEARCHED_ARGUMENTS = {
    **{
        argument: f"search.{row.key}" for row in of_role("intensity", "context") for argument in row.arguments
    },
    "seed": "seed",
    "data_seed": "seed",
}
"""TrainingArguments that a sweep sets itself, and where it is told to."""


class LogRange(Part):
    """A positive quantity searched on a logarithmic axis."""

    low: PositiveFloat
    """Smallest value tried, included."""
    high: PositiveFloat
    """Largest value tried, included."""

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if self.low >= self.high:
            raise wrong(f"low must be below high, got low={self.low:g}, high={self.high:g}", "swap them?")
        return self


class PriorSources(Part):
    """Where the search may begin to look, beside the middle of the range: never evidence."""

    ramp: bool = False
    """One learning-rate ramp per precision before the search (Smith 2017); each is one trial of the
    budget."""
    sharpness: bool = False
    """A few Hessian-vector products on the first batch, on the machine that starts the sweep (adaptive
    edge of stability, Cohen et al. 2022)."""
    earlier: str | None = None
    """``frontier.json``, or the folder, of an earlier sweep of the same model family; its frontier
    counts with twice its uncertainty and 0.3 decades more."""


class Search(Part):
    """What is varied: every combination of the values listed here is one context, with a learning rate of
    its own at which training breaks.
    """

    learning_rate: LogRange = LogRange(low=1e-6, high=1e-2)
    """Peak learning rate; the range should reach well into both sides of the boundary."""
    warmup: Annotated[tuple[NonNegativeFloat, ...], FROM_YAML_LIST] = (0.0, 0.06)
    """Linear warmup: 1 and above are optimizer steps, below 1 is a share of the full run."""
    max_grad_norm: Annotated[tuple[Annotated[float, legal("max_grad_norm")], ...], FROM_YAML_LIST] = (1.0,)
    """Norm that gradients are clipped to; 0: no clipping."""
    precision: Annotated[tuple[Precision, ...], FROM_YAML_LIST] = ("fp32", "bf16")
    """Number formats: fp32, tf32, bf16 (autocast), bf16-pure (weights, gradients and optimizer state in
    bfloat16, no autocast), fp16 (autocast and loss scaling)."""
    weight_decay: Annotated[tuple[Annotated[float, legal("weight_decay")], ...], FROM_YAML_LIST] | None = None
    """Weight decay of the weights that decay; default, here and below: not searched, as in ``training``."""
    adam_beta1: Annotated[tuple[Annotated[float, legal("adam_beta1")], ...], FROM_YAML_LIST] | None = None
    """Decay of Adam's mean gradient, per optimizer step."""
    adam_beta2: Annotated[tuple[Annotated[float, legal("adam_beta2")], ...], FROM_YAML_LIST] | None = None
    """Decay of Adam's mean squared gradient, per optimizer step."""
    adam_epsilon: Annotated[tuple[Annotated[float, legal("adam_epsilon")], ...], FROM_YAML_LIST] | None = None
    """What Adam adds to the root of the mean squared gradient; a large one makes every step smaller."""
    per_device_train_batch_size: (
        Annotated[tuple[Annotated[int, legal("per_device_train_batch_size")], ...], FROM_YAML_LIST] | None
    ) = None
    """Rows per micro-batch; needs ``training.max_steps``, the same for all of them."""
    gradient_accumulation_steps: (
        Annotated[tuple[Annotated[int, legal("gradient_accumulation_steps")], ...], FROM_YAML_LIST] | None
    ) = None
    """Micro-batches per optimizer step; needs ``training.max_steps``, the same for all of them."""
    sampler: SamplerName = "frontier"
    """Where to look next: ``frontier`` seeks the boundary; the others are Optuna's."""
    goal: Literal["map", "recommend"] = "map"
    """``map``: learn the frontier of every context, which is what reports show; ``recommend``: spend
    trials only where the best configuration may be."""
    prior: PriorSources = PriorSources()
    """What is known beforehand of where frontiers lie."""
    tolerance: PositiveFloat | None = 0.1
    """The search ends before its budget once the frontier is expected to be known to so many decades,
    on average over contexts (goal ``recommend``: weighted by their chance to be the best). That must
    hold at two trials in a row, after at least three per context; the trials saved are not spent.
    ``null``: never."""

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        for row in IN_CONTEXT:
            values = getattr(self, row.key) or ()
            for index, value in enumerate(values):
                if value in values[:index]:
                    first = f"{row.key}[{values.index(value)}]"
                    hint = "remove one of them"
                    raise wrong(f"{value} is there already, as {first}", hint, (row.key, index))
        return self

    @property
    def gentle(self) -> dict[str, Value]:
        """Return the gentlest value of each of these: what a conservative baseline has."""
        return {name: HYPERPARAMETERS[name].gentle(values) for name, values in self.further.items()}

    @property
    def further(self) -> dict[str, tuple[Value, ...]]:
        """Return the values of what is searched beside precision, warmup and clip norm, by name."""
        return {row.name: values for row in FURTHER if (values := getattr(self, row.key)) is not None}
