"""From a bundle back to a model and a Trainer, in a process that never saw the training."""

from __future__ import annotations

import importlib
import inspect
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch.utils.data import Dataset
from transformers import PreTrainedModel, TrainingArguments
from transformers.integrations.neftune import activate_neftune

from stabsearch.capture.tree import from_plain
from stabsearch.capture.weights import load_weights
from stabsearch.errors import UserError
from stabsearch.forensics.adapters import with_adapters
from stabsearch.trial.described import is_computed

if TYPE_CHECKING:
    from transformers import Trainer

    from stabsearch.capture.bundle import Bundle
    from stabsearch.capture.manifest import ClassRef, ModelRef

TRUSTED = frozenset({"transformers", "torch", "stabsearch"})
"""Packages whose classes are imported without being asked for: they are installed and known."""
NEEDS_NO_MORE = (
    "let it do with model, args and train_dataset; or run stabsearch diagnose, which replays the step "
    "with the Trainer that the sweep's own code makes"
)
REMOTE = "transformers_modules"
"""Package of code that came with a model from the Hub."""
QUIET = {
    "save_strategy": "no", "eval_strategy": "no", "logging_strategy": "no", "report_to": "none",
    "disable_tqdm": True, "load_best_model_at_end": False, "push_to_hub": False,
    "bf16": False, "fp16": False, "tf32": None,
}  # fmt: skip
"""A replay trains nothing; its precision is set around the forward, as Accelerate would."""


@dataclass(frozen=True)
class Rebuilt:
    """A model with a bundle's weights, and a Trainer that computes its loss."""

    trainer: Trainer
    model: PreTrainedModel


def rebuild(
    bundle: Bundle, weights: str = "captured", device: str = "cpu", trust_code: bool = False
) -> Rebuilt:
    """Return model and Trainer as they were, precision aside.

    Args:
        bundle: found whole.
        weights: ``captured`` or ``initial``.
        device: ``cpu`` or ``cuda``.
        trust_code: import classes from outside of torch and Transformers.

    Raises:
        UserError: a class is not importable, may not be imported, or does not fit what is stored.
    """
    model = _model(bundle, weights, trust_code).to(device)
    return Rebuilt(_trainer(bundle, model, device, trust_code), model)


def _model(bundle: Bundle, weights: str, trust_code: bool) -> PreTrainedModel:
    made = bundle.manifest.model
    frozen = frozenset(made.frozen)
    cls = found_class(made.cls, PreTrainedModel, bundle, trust_code)
    _check_kernels(made, bundle, trust_code)
    try:
        config = cls.config_class.from_dict(from_plain(dict(made.config)))
        config._attn_implementation = made.attn_implementation or None
        model: PreTrainedModel = cls(config)
        if made.adapters is not None:
            model = with_adapters(model, made.adapters)
        load_weights(model, bundle.weights(weights), bundle.manifest.aliases)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever another version of a class raises
        hint = (
            f"replay it with transformers {bundle.manifest.machine.get('transformers', '?')}, which wrote it"
        )
        raise UserError(f"{made.cls.name} cannot be made again: {_line(error)}", hint) from None
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and name in made.dropout:
            module.p = made.dropout[name]
    for name, weight in model.named_parameters():
        if weight.is_floating_point():
            weight.requires_grad_(name not in frozen)
    return model.train()


class _NoRows(Dataset[dict[str, Any]]):
    """Stands where a Trainer wants training data."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {}


def _trainer(bundle: Bundle, model: PreTrainedModel, device: str, trust_code: bool) -> Trainer:
    made = bundle.manifest.trainer
    cls = found_class(made.cls, transformers.Trainer, bundle, trust_code)
    extra = {"compute_loss_func": _loss(made.loss_function, bundle, trust_code)} if made.loss_function else {}
    try:
        args = _arguments(bundle, device, trust_code)
        trainer: Any = cls(model=model, args=args, train_dataset=_NoRows(), **extra)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - a constructor of the user's
        raise UserError(f"{made.cls.name} cannot be made again: {_line(error)}", NEEDS_NO_MORE) from None
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    trainer.current_gradient_accumulation_steps = made.accumulation
    trainer.loss_is_scaled_for_ga = made.loss_is_scaled_for_ga
    if trainer.neftune_noise_alpha is not None:
        activate_neftune(model, trainer.neftune_noise_alpha, trainer.accelerator)
    return trainer


def _arguments(bundle: Bundle, device: str, trust_code: bool) -> TrainingArguments:
    """Return the arguments, less those that reach beyond the computation."""
    made = bundle.manifest.trainer
    cls = found_class(made.arguments_cls, TrainingArguments, bundle, trust_code)
    stored = {name: value for name, value in made.arguments.items() if is_computed(name)}
    given = {**from_plain(stored), **QUIET, "use_cpu": device == "cpu", "output_dir": tempfile.gettempdir()}
    return cls(**given)


def found_class(ref: ClassRef, base: type, bundle: Bundle, trust_code: bool) -> Any:
    """Return a class by its place.

    Args:
        ref: its place.
        base: what it has to be a subclass of.
        bundle: that asks for it.
        trust_code: code from outside of torch and Transformers may be imported.

    Raises:
        UserError: it is code that nobody allowed, not importable, or another kind of class.
    """
    cls = _found(ref, bundle, trust_code)
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise UserError(f"{ref.name} of {ref.module} is no {base.__name__}",
                        f"only a kind of Transformers' {base.__name__} can be made again")  # fmt: skip
    return cls


def _loss(ref: ClassRef, bundle: Bundle, trust_code: bool) -> Any:
    function = _found(ref, bundle, trust_code)
    if not inspect.isfunction(function):
        raise UserError(f"{ref.name} of {ref.module} is no function",
                        "give the Trainer a plain function as compute_loss_func")  # fmt: skip
    return function


def _found(ref: ClassRef, bundle: Bundle, trust_code: bool) -> Any:
    """Return a class or function by its place.

    Raises:
        UserError: it is code that nobody allowed, or not importable.
    """
    _check_trust(ref.module, ref, bundle, trust_code)
    try:
        if "__main__" in ref.module.split("."):  # importing it would run a program
            raise ImportError("it was defined in the program that was run")
        thing: Any = importlib.import_module(ref.module)
        for name in ref.name.split("."):
            thing = getattr(thing, name)
    except Exception as error:  # noqa: BLE001 - a module of the user's runs here
        raise UserError(f"{ref.name} of {ref.module} is not importable here: {_line(error)}",
                        "put it at the top level of a module on PYTHONPATH") from None  # fmt: skip
    # a trusted module may have imported something that is not its own
    _check_trust(str(getattr(thing, "__module__", None)), ref, bundle, trust_code)
    return thing


def _check_trust(module: str, ref: ClassRef, bundle: Bundle, trust_code: bool) -> None:
    package = module.partition(".")[0]
    if package == REMOTE and not bundle.manifest.trust_remote_code:
        raise UserError(f"{ref.name} is code that came with a model, and the sweep did not trust it",
                        "set task.trust_remote_code: true in the sweep, and capture it again")  # fmt: skip
    if package not in TRUSTED and not trust_code:
        raise UserError(f"this bundle asks for {ref.name} of {module}: neither torch nor Transformers",
                        "if you trust that code, replay it with --trust-code")  # fmt: skip


def _check_kernels(made: ModelRef, bundle: Bundle, trust_code: bool) -> None:
    """Raise where the configuration names code on the Hub, such as an attention kernel ``owner/name``."""
    found = [made.attn_implementation, *_implementations(made.config)]
    named = [name for name in found if "/" in name]
    if named and not (trust_code and bundle.manifest.trust_remote_code):
        raise UserError(f"this bundle asks for {named[0]}, code from the Hub, and nobody trusted it",
                        "it takes trust_remote_code in the sweep and --trust-code here")  # fmt: skip


def _implementations(config: Any) -> list[str]:
    """Return what a configuration, or one inside of it, says about implementations."""
    if isinstance(config, list):
        return [name for item in config for name in _implementations(item)]
    if not isinstance(config, Mapping):
        return []
    own = [_texts(value) for key, value in config.items() if "implementation" in key or "kernel" in key]
    return [name for names in [*own, *map(_implementations, config.values())] for name in names]


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _line(error: Exception) -> str:
    text = (str(error).strip() or "no message").partition("\n")[0]
    return f"{type(error).__name__}: {text}"
