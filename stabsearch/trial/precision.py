"""Number formats of a trial: refused where they would not be real, set, and set back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils.operations import convert_to_fp32

from stabsearch.errors import UserError
from stabsearch.records.precision import NUMBER_FORMATS, Precision
from stabsearch.trial.casting import cast, dtypes_of, weights_in
from stabsearch.trial.not_applied import SettingsNotApplied, dtype_differences

if TYPE_CHECKING:
    from transformers import Trainer


def check_precision(
    precision: Precision, key: tuple[str | int, ...], *, on_gpu: bool, is_local: bool, allow_fp16_on_cpu: bool
) -> None:
    """Raise where trials would not really run a precision.

    ``fp16=True`` on a CPU is accepted by Transformers 5.24 and silently trains in fp32.

    Args:
        precision: what is searched.
        key: where it stands in the sweep.
        on_gpu: True when trials are given a GPU.
        is_local: True when trials run on this machine, so that its devices can be asked.
        allow_fp16_on_cpu: the user wants fp16 on a CPU.

    Raises:
        UserError: no device of the trials runs it; the message says what does.
    """
    on_cpu = NUMBER_FORMATS[precision].on_cpu
    if on_gpu:
        if is_local:
            _check_local_gpu(precision, key)
    elif on_cpu == "never":
        raise UserError(f"{precision} needs a CUDA device, and trials are given none",
                        "use fp32 or bf16, or set resources.gpus_per_trial", key=key)  # fmt: skip
    elif on_cpu == "asked" and not allow_fp16_on_cpu:
        raise UserError(f"{precision} needs a CUDA device: on a CPU it would silently train in fp32",
                        "use bf16, set resources.gpus_per_trial, or resources.allow_fp16_on_cpu: true (slow)",
                        key=key)  # fmt: skip


def _check_local_gpu(precision: Precision, key: tuple[str | int, ...]) -> None:
    if not torch.cuda.is_available():
        raise UserError("resources.gpus_per_trial asks for a GPU, and this machine shows none",
                        "set it to 0, or name a cluster as resources.address",
                        key=("resources", "gpus_per_trial"))  # fmt: skip
    needed = NUMBER_FORMATS[precision].capability
    if torch.cuda.get_device_capability() < needed:
        raise UserError(f"{precision} needs a GPU of compute capability {needed[0]}.{needed[1]} or newer",
                        "remove it from search.precision", key=key)  # fmt: skip


def precision_arguments(precision: Precision, on_gpu: bool) -> dict[str, Any]:
    """Return the TrainingArguments fields of a precision on the device that trials were given.

    ``tf32`` is never among them: Transformers sets it through an ``lru_cache``, so that in a process that
    trains many times it stops working after each value was used once. ``matmul_precision`` sets it.
    """
    asked = NUMBER_FORMATS[precision].arguments
    return {"bf16": asked.get("bf16", False), "fp16": asked.get("fp16", False), "use_cpu": not on_gpu}


@contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """Set the products of float32 matrices to tf32 or full precision everywhere, and set them back.

    Whatever was set before, by an earlier trial or by ``torch.set_float32_matmul_precision``, which
    rounds to bfloat16 on processors too, does not count.
    """
    backends: Any = torch.backends
    parts = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn,
             backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn)  # fmt: skip
    before = backends.fp32_precision, [part.fp32_precision for part in parts]
    for part in (backends, *parts):
        part.fp32_precision = NUMBER_FORMATS[precision].matmul_precision
    try:
        yield
    finally:
        backends.fp32_precision = before[0]
        for part, value in zip(parts, before[1], strict=True):
            part.fp32_precision = "none"  # it goes by the setting for all again, where it did
            if part.fp32_precision != value:
                part.fp32_precision = value


def put_into(model: torch.nn.Module, precision: Precision) -> None:
    """Give a model the dtype that a precision asks for.

    Raises:
        SettingsNotApplied: it comes in half precision by itself, from an fp16 checkpoint for example.
            That is another training than autocast, and nothing is made of it quietly.
    """
    wanted, found = NUMBER_FORMATS[precision], dtypes_of(model)
    if wanted.is_own_dtype and {*found.trained, *found.frozen} <= {"float32", wanted.parameter_dtype}:
        cast(model, getattr(torch, wanted.parameter_dtype))
        found = dtypes_of(model)
    wrong = dtype_differences(precision, "+".join(found.trained), "+".join(found.frozen))
    if wrong:
        hint = "load the model with dtype=torch.float32: without it a checkpoint keeps its own dtype"
        raise SettingsNotApplied("; ".join(wrong), hint)


@contextmanager
def running_in(
    model: torch.nn.Module, precision: Precision, device_type: str, *, keeps_weights: bool = False
) -> Iterator[None]:
    """Run a model that nothing was done to in a precision: its weights, its products, its autocast.

    Args:
        model: on its device.
        precision: to run in.
        device_type: ``cpu`` or ``cuda``.
        keeps_weights: leave the weights in the dtype they are in, whatever the precision says.
    """
    wanted = NUMBER_FORMATS[precision]
    with ExitStack() as around:
        around.enter_context(matmul_precision(precision))
        around.enter_context(_autocast_forward(model, wanted.autocast_dtype, device_type))
        if not keeps_weights:
            around.enter_context(weights_in(model, getattr(torch, wanted.parameter_dtype)))
        yield


@contextmanager
def _autocast_forward(model: torch.nn.Module, dtype: str, device_type: str) -> Iterator[None]:
    """Run the model's forward under autocast, and nothing else: a loss outside of it stays in fp32.

    As Accelerate prepares a model for training: autocast around ``forward``, floating outputs to fp32.
    """
    if dtype == "float32":
        yield
        return
    original = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device_type, getattr(torch, dtype)):
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
