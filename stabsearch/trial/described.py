"""A live Trainer as plain data: its classes, configuration and arguments, and what decides its bits."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.capture.manifest import ClassRef, ModelRef, Numerics, TrainerRef
from stabsearch.capture.tree import to_plain
from stabsearch.records.precision import named
from stabsearch.trial.adapters import adapters_ref, inner_model
from stabsearch.trial.casting import dtypes_of

if TYPE_CHECKING:
    from transformers import Trainer, TrainingArguments

ELSEWHERE = (
    "output_dir", "logging_dir", "report_to", "run_name", "project", "resume_from_checkpoint",
    "trackio_", "hub_", "push_to_hub", "deepspeed", "fsdp", "ddp_", "parallelism_config", "local_rank",
)  # fmt: skip
"""How TrainingArguments begin that say where things go or run, not what is computed."""
LIBRARIES = frozenset({"torch", "transformers", "accelerate", "peft", "stabsearch"})
"""Packages that put hooks on modules by themselves."""
SECRETS = frozenset({"token", "secret", "password", "key"})
"""Words in the names of arguments that are nobody's business."""


def is_computed(name: str) -> bool:
    """Return whether a training argument may say what is computed; only such are stored, and used again.

    >>> is_computed("label_smoothing_factor"), is_computed("hub_model_id"), is_computed("wandb_api_key")
    (True, False, False)
    """
    return not name.startswith(ELSEWHERE) and SECRETS.isdisjoint(name.split("_"))


def model_ref(model: Any) -> ModelRef:
    """Return the make of a model."""
    modules, inner = dict(model.named_modules()), inner_model(model)
    config = getattr(inner, "config", None)
    return ModelRef(
        cls=_class_ref(type(inner)),
        config=to_plain(config.to_dict()) if config is not None else {},
        attn_implementation=str(getattr(config, "_attn_implementation", "") or ""),
        name_or_path=str(getattr(config, "_name_or_path", "") or ""),
        dropout={name: float(m.p) for name, m in modules.items() if isinstance(m, torch.nn.Dropout)},
        hooked=tuple(name or "the model" for name, module in modules.items() if _is_hooked(module)),
        adapters=adapters_ref(model),
        frozen=tuple(name for name, weight in model.named_parameters() if not weight.requires_grad),
    )


def _is_hooked(module: torch.nn.Module) -> bool:
    """Return whether a module carries hooks of the user's; the libraries' own come back with the Trainer."""
    held = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    hooks = [getattr(hook, "func", hook) for hooks in held for hook in hooks.values()]
    return any(str(getattr(hook, "__module__", "")).partition(".")[0] not in LIBRARIES for hook in hooks)


def trainer_ref(trainer: Any, num_micro_batches: int) -> TrainerRef:
    """Return the Trainer's make; the number of micro-batches counts where it never said its own."""
    function = trainer.compute_loss_func
    return TrainerRef(
        cls=_class_ref(type(trainer)),
        arguments_cls=_class_ref(type(trainer.args)),
        arguments=_arguments(trainer.args),
        loss_function=_class_ref(function) if function is not None else None,
        accumulation=int(getattr(trainer, "current_gradient_accumulation_steps", max(num_micro_batches, 1))),
        loss_is_scaled_for_ga=trainer.loss_is_scaled_for_ga,
    )


def _arguments(args: TrainingArguments) -> dict[str, Any]:
    """Return the arguments that differ from their defaults and say what is computed."""
    return {
        field.name: to_plain(getattr(args, field.name))
        for field in dataclasses.fields(args)
        if field.init and is_computed(field.name) and _is_set(args, field)
    }


def _is_set(args: TrainingArguments, field: dataclasses.Field[Any]) -> bool:
    value = getattr(args, field.name)
    default = field.default_factory() if callable(field.default_factory) else field.default
    return bool(value != default) and isinstance(value, bool | int | float | str | list | dict | Enum)


def _class_ref(thing: Any) -> ClassRef:
    return ClassRef(
        str(getattr(thing, "__module__", type(thing).__module__)),
        str(getattr(thing, "__qualname__", type(thing).__qualname__)),
    )


def numerics_of(trainer: Trainer, loss_scale: float) -> Numerics:
    """Return what decides the bits of a step beside weights, batch and random numbers."""
    accelerator: Any = trainer.accelerator
    mixed = accelerator.mixed_precision if accelerator.native_amp else "no"
    is_tf32 = torch.backends.cuda.matmul.fp32_precision == "tf32" and trainer.args.device.type == "cuda"
    rounding = "tf32" if is_tf32 else "ieee"
    dtype = {"bf16": "bfloat16", "fp16": "float16"}.get(mixed, "float32")
    return Numerics(
        precision=named(dtype, rounding, "+".join(dtypes_of(trainer.model).trained)),
        loss_scale=loss_scale,
        device=trainer.args.device.type,
        num_threads=torch.get_num_threads(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        deterministic_algorithms=torch.are_deterministic_algorithms_enabled(),
        matmul_precision=rounding,
    )
