"""Adapters around a task's models: a maker of models becomes a maker of PEFT models."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import set_seed
from transformers.models.auto import modeling_auto

from stabsearch.errors import UserError

if TYPE_CHECKING:
    from stabsearch.config import Peft
    from stabsearch.task.workload import MakeModel

STREAM = 1_000_003  # chosen: a prime; adapters draw other numbers than the model's own new weights
KINDS = {
    "SEQ_CLS": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "TOKEN_CLS": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "QUESTION_ANS": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "SEQ_2_SEQ_LM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "CAUSAL_LM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
}
"""PEFT's kinds of task, and Transformers' classes of each: by it PEFT knows that a new head is trained."""
NEED_DATA = frozenset({"eva", "corda", "lora_ga", "loftq"})
"""Ways for adapters to begin that a trial, which makes its model from nothing but a seed, cannot follow."""
WRONG = (ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError)
"""What PEFT raises for settings that fit no model."""
NO_LAYER = ("target_modules", "Target modules", "No modules were targeted")
"""Parts of what it says when there is no layer for an adapter."""


def with_adapters(make_model: MakeModel, peft: Peft) -> MakeModel:
    """Return a maker of the same models with adapters: model seed -> PEFT model.

    The seed decides the adapters' weights too. Every model is made anew, and so are its adapters.

    Args:
        make_model: model seed -> fresh model.
        peft: the part ``peft`` of the sweep.

    Raises:
        UserError: PEFT is not installed, knows no such field, or the model has no such layers; the key says
            which part of the sweep is wrong.
    """
    maker = WithAdapters(make_model, _checked(peft))
    maker(0)
    return maker


class WithAdapters:
    """Makes PEFT models.

    Args:
        make_model: model seed -> fresh model.
        fields: of LoraConfig.
    """

    def __init__(self, make_model: MakeModel, fields: dict[str, Any]) -> None:
        self._make_model, self._fields = make_model, fields

    def __call__(self, model_seed: int) -> Any:
        """Return a fresh model with fresh adapters; the same seed gives the same weights."""
        import peft

        model = self._make_model(model_seed)
        _check_modules(model, self._fields)
        set_seed((model_seed + STREAM) % 2**32)
        try:
            # PEFT adds to the lists that it is given
            config = peft.LoraConfig(task_type=kind_of(model), **copy.deepcopy(self._fields))
            with warnings.catch_warnings():
                # what PEFT 0.21 still calls by an older name is not the user's affair, once per trial
                warnings.simplefilter("ignore", FutureWarning)
                return peft.get_peft_model(model, config)
        except WRONG as error:
            raise _refused(model, self._fields, error) from None


def kind_of(model: Any) -> str | None:
    """Return PEFT's kind of task for a model, None for a kind that needs nothing of its own (masked LM)."""
    name = type(model).__name__
    for kind, mapping in KINDS.items():
        if name in getattr(modeling_auto, mapping).values():
            return kind
    ends = {"ForSequenceClassification": "SEQ_CLS", "ForTokenClassification": "TOKEN_CLS",
            "ForQuestionAnswering": "QUESTION_ANS", "ForCausalLM": "CAUSAL_LM"}  # fmt: skip
    return next((kind for end, kind in ends.items() if name.endswith(end)), None)


def _checked(part: Peft) -> dict[str, Any]:
    """Return the fields for LoraConfig, each of which the installed PEFT knows."""
    try:
        import peft
    except ImportError:
        raise UserError("adapters need the package peft, which is not installed here",
                        "pip install 'stabsearch[peft]'", key=("peft",)) from None  # fmt: skip
    known = [field.name for field in dataclasses.fields(peft.LoraConfig)]
    for name in part.arguments:
        if name not in known or name in {"task_type", "peft_type", "inference_mode"}:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near and near[0] != name else "see PEFT's LoraConfig"
            decided = " to be set: the model and the trial decide it" if name in known else ""
            raise UserError(f"LoraConfig of peft {peft.__version__} has no field {name!r}{decided}",
                            hint, key=("peft", name))  # fmt: skip
    if part.init_lora_weights in NEED_DATA:
        raise UserError(
            f"adapters that begin as {part.init_lora_weights!r} need a pass over the data beforehand",
            "choose gaussian, pissa, olora or true", key=("peft", "init_lora_weights"),
        )  # fmt: skip
    return part.arguments


def _check_modules(model: Any, fields: dict[str, Any]) -> None:
    """Raise for a layer that the model has not: of several names PEFT passes over those without a match."""
    modules = [name for name, _ in model.named_modules() if name]
    for key in ("target_modules", "modules_to_save"):
        names = fields.get(key)
        for place, name in enumerate(names if isinstance(names, list) else ()):
            if not any(module == name or module.endswith(f".{name}") for module in modules):
                raise UserError(f"{type(model).__name__} has no layer whose name ends in {name!r}",
                                _near(name, modules), key=("peft", key, place))  # fmt: skip


def _near(name: str, modules: Sequence[str]) -> str:
    ends = sorted({module.rpartition(".")[2] for module in modules} - {str(i) for i in range(1000)})
    near = difflib.get_close_matches(name, ends, n=1)
    return f"did you mean {near[0]!r}?" if near else f"its layers are called {', '.join(ends[:12])}"


def _refused(model: Any, fields: dict[str, Any], error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    name, asked = type(model).__name__, fields["target_modules"]
    if not any(sign in reason for sign in NO_LAYER):
        return UserError(f"no adapters can be made: {reason}", "see PEFT's LoraConfig", key=("peft",))
    linear = (name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear))
    ends = sorted({name.rpartition(".")[2] for name in linear})
    message = f"no layer of {name} can get an adapter by target_modules {asked!r}"
    if asked is None:
        message = f"PEFT has no target_modules of its own for {name}"
    hint = f"write all-linear, or some of {', '.join(ends[:12])}"
    return UserError(message, hint, key=("peft", "target_modules"))
