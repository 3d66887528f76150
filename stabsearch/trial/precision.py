"""Number formats of a trial: how they are set, and where they really run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils.operations import convert_to_fp32

from stabsearch.errors import UserError
from stabsearch.records import Precision

if TYPE_CHECKING:
    from transformers import Trainer

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
AUTOCAST_DTYPE = {"fp32": "float32", "tf32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def check_precision(
    precision: Precision, key: tuple[str | int, ...], *, on_gpu: bool, is_local: bool, allow_fp16_on_cpu: bool
) -> None:
    """Raise where trials would not really run a precision.

    ``fp16=True`` on a CPU is accepted by Transformers 5.23 and silently trains in fp32.

    Args:
        precision: what is searched.
        key: where it stands in the sweep.
        on_gpu: True when trials are given a GPU.
        is_local: True when trials run on this machine, so that its devices can be asked.
        allow_fp16_on_cpu: the user wants fp16 on a CPU.

    Raises:
        UserError: no device of the trials runs it; the message says what does.
    """
    if on_gpu:
        if is_local:
            _check_local_gpu(precision, key)
        return
    if precision == "tf32":
        raise UserError("tf32 needs a CUDA device, and trials are given none",
                        "use fp32 or bf16, or set resources.gpus_per_trial", key=key)  # fmt: skip
    if precision == "fp16" and not allow_fp16_on_cpu:
        raise UserError("fp16 needs a CUDA device: on a CPU it would silently train in fp32",
                        "use bf16, set resources.gpus_per_trial, or resources.allow_fp16_on_cpu: true (slow)",
                        key=key)  # fmt: skip


def _check_local_gpu(precision: Precision, key: tuple[str | int, ...]) -> None:
    if not torch.cuda.is_available():
        raise UserError("resources.gpus_per_trial asks for a GPU, and this machine shows none",
                        "set it to 0, or name a cluster as resources.address",
                        key=("resources", "gpus_per_trial"))  # fmt: skip
    if precision in {"tf32", "bf16"} and torch.cuda.get_device_capability() < (8, 0):
        raise UserError(f"{precision} needs a GPU of compute capability 8.0 or newer",
                        "remove it from search.precision", key=key)  # fmt: skip


def precision_arguments(precision: Precision, on_gpu: bool) -> dict[str, Any]:
    """Return the TrainingArguments fields of a precision on the device that trials were given."""
    return {"bf16": precision == "bf16", "fp16": precision == "fp16", "use_cpu": not on_gpu}


@contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """Set fp32 matrix products to tf32 or full precision, and set them back.

    Transformers' own ``tf32`` argument goes through an ``lru_cache``: in a process that trains
    many times it stops working after each value was used once.
    """
    backends: Any = torch.backends
    before = backends.fp32_precision, backends.cuda.matmul.fp32_precision
    wanted = "tf32" if precision == "tf32" else "ieee"
    backends.fp32_precision = backends.cuda.matmul.fp32_precision = wanted
    try:
        yield
    finally:
        backends.fp32_precision, backends.cuda.matmul.fp32_precision = before


@contextmanager
def autocast_forward(model: torch.nn.Module, precision: Precision, device_type: str) -> Iterator[None]:
    """Run the model's forward under autocast, and nothing else: a loss outside of it stays in fp32.

    As Accelerate prepares a model for training: autocast around ``forward``, floating outputs to fp32.
    """
    dtype = DTYPES.get(precision)
    if dtype is None:
        yield
        return
    original = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device_type, dtype):
            outputs = original(*args, **kwargs)
        return convert_to_fp32(outputs)

    model.forward = forward
    try:
        yield
    finally:
        del model.forward  # the class's own, or a bound one put there before, shows again
        if model.forward != original:
            model.forward = original


def enable_fp16_on_cpu(trainer: Trainer) -> None:
    """Make an ``fp16=True`` Trainer on a CPU really run fp16 autocast with a loss scaler.

    Accelerate 1.15 switches both off on a CPU without a word; torch runs them there. CPU
    autocast keeps layer norm, softmax and sums in fp16, so it overflows earlier than a GPU.
    """
    accelerator = trainer.accelerator
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        accelerator.native_amp = True
        accelerator.scaler = torch.amp.GradScaler("cpu")
