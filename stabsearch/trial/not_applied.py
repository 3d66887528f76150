"""Where a training's number formats are not those of its plan, each with the argument that it lies at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stabsearch.errors import UserError
from stabsearch.records.precision import NUMBER_FORMATS, Precision

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from stabsearch.records import Effective

ENVIRONMENT = "ACCELERATE_MIXED_PRECISION"
"""Variable that TrainingArguments take their precision from when none is given."""


class SettingsNotApplied(UserError):  # noqa: N818 - it names what happened to the trial
    """A trial that would not run with the settings of its plan: it is not even started."""


IGNORES_ARGUMENTS = "give the Trainer the arguments that come in, and change none of them"

COMPARED = (
    "learning_rate", "warmup_steps", "max_grad_norm", "bf16", "fp16", "max_steps", "seed", "data_seed",
    "per_device_train_batch_size", "gradient_accumulation_steps", "lr_scheduler_type", "optim",
    "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "label_smoothing_factor",
)  # fmt: skip
"""TrainingArguments that decide what a trial measures."""


def argument_differences(given: TrainingArguments, used: TrainingArguments) -> list[str]:
    """Return each argument that a Trainer was given and does not have, as ``name: planned, effective``."""
    pairs = ((name, getattr(given, name), getattr(used, name, None)) for name in COMPARED)
    return [f"{name}: planned {_shown(one)}, effective {_shown(other)}"
            for name, one, other in pairs if one != other]  # fmt: skip


def _shown(value: object) -> object:
    return getattr(value, "value", value)


def dtype_differences(precision: Precision, trained: str, frozen: str) -> list[str]:
    """Return how the dtypes of a model's weights differ from those of a precision.

    Args:
        precision: that was planned.
        trained: dtypes of the trained weights, joined by ``+``.
        frozen: of the others. Under autocast they may be kept in its dtype: that is what their
            products are computed in.

    >>> dtype_differences("fp32", "float16", "")
    ["parameter dtype: planned float32, effective float16 (the model's dtype)"]
    """
    wanted, found = NUMBER_FORMATS[precision], []
    if trained and trained != wanted.parameter_dtype:
        found.append(_differs("parameter dtype", wanted.parameter_dtype, trained, "the model's dtype"))
    if frozen and not wanted.frozen_dtypes.issuperset(frozen.split("+")):
        planned = " or ".join(sorted(wanted.frozen_dtypes))
        found.append(_differs("dtype of frozen parameters", planned, frozen, "the model's dtype"))
    return found


def format_differences(precision: Precision, effective: Effective) -> list[str]:
    """Return how what a training ran in differs from a precision, weights, autocast, scaler and products."""
    wanted, found = NUMBER_FORMATS[precision], []
    if effective.autocast_dtype != wanted.autocast_dtype:
        argument = _autocast_argument(wanted.autocast_dtype, effective.autocast_dtype)
        found.append(_differs("autocast dtype", wanted.autocast_dtype, effective.autocast_dtype, argument))
    if effective.loss_scaler != wanted.has_scaler:
        found.append(_differs("loss scaler", wanted.has_scaler, effective.loss_scaler, "fp16"))
    found += dtype_differences(precision, effective.parameter_dtype, effective.frozen_dtype)
    if effective.matmul_precision != wanted.matmul_precision:
        rounding = {wanted.matmul_precision, effective.matmul_precision}
        argument = "tf32" if "tf32" in rounding else "torch.set_float32_matmul_precision"
        found.append(
            _differs("matmul precision", wanted.matmul_precision, effective.matmul_precision, argument)
        )
    return found


def _autocast_argument(planned: str, effective: str) -> str:
    name = "fp16" if "float16" in {planned, effective} and "bfloat16" not in {planned} else "bf16"
    given = os.environ.get(ENVIRONMENT, "no")
    is_given = planned == "float32" and given == name
    return f"{ENVIRONMENT}={given} in the environment" if is_given else name


def _differs(name: str, planned: object, effective: object, argument: str) -> str:
    return f"{name}: planned {planned}, effective {effective} ({argument})"
