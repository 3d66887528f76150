"""What each precision is made of: the one table that setting, reading back, refusing and reporting go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

Precision = Literal["fp32", "tf32", "bf16", "bf16-pure", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""From exact to coarse, as reports list them."""


@dataclass(frozen=True)
class NumberFormat:
    """What a precision is made of, in torch's names of dtypes."""

    parameter_dtype: str = "float32"
    """Of the trained weights, and with them of gradients and of the optimizer's moments."""
    autocast_dtype: str = "float32"
    """Of matrix products inside the model's forward; ``float32``: no autocast."""
    has_scaler: bool = False
    """Losses are scaled, and updates whose gradients overflow are skipped."""
    matmul_precision: Literal["ieee", "tf32"] = "ieee"
    """Of the products of float32 matrices."""
    arguments: Mapping[str, bool] = field(default_factory=dict)
    """TrainingArguments that ask for it; ``tf32`` is set by the trial itself, see ``trial.precision``."""
    capability: tuple[int, int] = (0, 0)
    """Least compute capability of a CUDA device that runs it."""
    on_cpu: Literal["runs", "asked", "never"] = "runs"
    """Whether a CPU runs it; ``asked``: only where a sweep says so, since stock Transformers does not."""
    cost: int = 0
    """Which of two equally good ones is recommended: the cheaper."""

    @property
    def is_own_dtype(self) -> bool:
        """Return whether the model itself has to be loaded in another dtype than float32."""
        return self.parameter_dtype != "float32"

    @property
    def frozen_dtypes(self) -> frozenset[str]:
        """Return the dtypes that frozen weights may be kept in: autocast casts them for every product."""
        if self.is_own_dtype and self.autocast_dtype == "float32":
            return frozenset({self.parameter_dtype})  # nothing casts
        return frozenset({self.parameter_dtype, self.autocast_dtype})


NUMBER_FORMATS: Mapping[Precision, NumberFormat] = MappingProxyType(
    {
        "fp32": NumberFormat(cost=2),
        "tf32": NumberFormat(
            matmul_precision="tf32", arguments={"tf32": True}, capability=(8, 0), on_cpu="never", cost=1
        ),
        "bf16": NumberFormat(autocast_dtype="bfloat16", arguments={"bf16": True}, capability=(8, 0)),
        # half the memory of bf16, and yet not preferred to it: an update below 1/256 of a weight is lost
        # without a trace, which no trial of a few hundred steps shows
        "bf16-pure": NumberFormat(parameter_dtype="bfloat16", capability=(8, 0), cost=1),
        "fp16": NumberFormat(
            autocast_dtype="float16", has_scaler=True, arguments={"fp16": True}, on_cpu="asked"
        ),
    }
)


def named(dtype: str, matmul_precision: str, parameter_dtype: str) -> Precision:
    """Return the precision that a training really ran in.

    Args:
        dtype: of autocast; ``float32``: none.
        matmul_precision: of the products of float32 matrices: ``ieee`` or ``tf32``.
        parameter_dtype: of the weights; a mixture counts as float32.

    >>> named("bfloat16", "ieee", "float32"), named("float32", "ieee", "bfloat16")
    ('bf16', 'bf16-pure')
    """
    if dtype != "float32":
        return "fp16" if dtype == "float16" else "bf16"
    if parameter_dtype == "bfloat16":
        return "bf16-pure"
    return "tf32" if matmul_precision == "tf32" else "fp32"
