"""Where fresh models come from: a configuration, or a checkpoint that is read once."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, AutoConfig, AutoTokenizer, set_seed
from transformers import logging as transformers_logging

from stabsearch.errors import UserError
from stabsearch.task.digest import weights_digest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from stabsearch.config import TextTask
    from stabsearch.task.workload import MakeModel


def load_tokenizer(task: TextTask, *, needs_padding: bool = True) -> PreTrainedTokenizerBase:
    """Return the task's tokenizer.

    Args:
        task: names it, or a model that has one.
        needs_padding: rows of different lengths go into one batch.

    Raises:
        UserError: there is none, it cannot be loaded, or it cannot pad.
    """
    name = task.tokenizer or (task.model if isinstance(task.model, str) else None)
    if name is None:
        raise UserError("a model from a configuration needs a tokenizer of its own",
                        "give a Hub id or a local folder as task.tokenizer",
                        key=("task", "model"))  # fmt: skip
    key = "tokenizer" if task.tokenizer else "model"
    tokenizer: PreTrainedTokenizerBase = _from_hub(
        lambda: AutoTokenizer.from_pretrained(name, trust_remote_code=task.trust_remote_code), name, key
    )
    if needs_padding and tokenizer.pad_token is None:
        raise UserError(f"the tokenizer of {name!r} has no padding token, and rows differ in length",
                        "save a copy with pad_token set, and name its folder as task.tokenizer",
                        key=("task", key))  # fmt: skip
    return tokenizer


def model_maker(task: TextTask, auto_class: Any, **fields: Any) -> MakeModel:
    """Return a maker of fresh float32 models: model seed -> model.

    Args:
        task: names the model, or gives its configuration.
        auto_class: Transformers' class that finds the model's own, such as
            ``AutoModelForSequenceClassification``.
        fields: of the configuration that the data decide, such as ``num_labels``.

    Raises:
        UserError: no model can be loaded or made; the key says which part of the sweep is wrong.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if isinstance(task.model, str):
        return PretrainedCopies(task.model, auto_class, task.trust_remote_code, **fields)
    return ModelFromConfig(task.model.config, auto_class, **fields)


KEPT_SHARE = 1 / 16  # chosen: a trial needs its weights four times over, and activations
WRONG_FIELDS = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    StrictDataclassError,
)
"""What model classes raise for fields that make no model."""


class ModelFromConfig:
    """Makes models with random weights from a Transformers configuration.

    Args:
        config: its fields as the user wrote them, ``model_type`` among them.
        auto_class: finds the model's class.
        fields: that the data decide, whatever ``config`` says.
    """

    def __init__(self, config: dict[str, Any], auto_class: Any, **fields: Any) -> None:
        fields = {**config, **fields}
        self._auto_class = auto_class
        model_type = str(fields.pop("model_type", ""))
        if model_type not in CONFIG_MAPPING:
            raise _unknown_model_type(model_type)
        if CONFIG_MAPPING[model_type] not in auto_class._model_mapping:
            raise UserError(f"{model_type} models are not for this task: {auto_class.__name__} has none",
                            "choose another model_type, or another type of task",
                            key=("task", "model", "config", "model_type"))  # fmt: skip
        try:
            self.config = AutoConfig.for_model(model_type, **fields)
            self(0)
        except WRONG_FIELDS as error:
            reason = " ".join(str(error).split()) or "no message"
            raise UserError(f"no model can be made from this configuration: {type(error).__name__}: {reason}",
                            "see the fields of the model's configuration class in Transformers",
                            key=("task", "model", "config")) from None  # fmt: skip

    def __call__(self, model_seed: int) -> PreTrainedModel:
        """Return a fresh model; the same seed gives the same weights."""
        set_seed(model_seed)
        model: PreTrainedModel = self._auto_class.from_config(copy.deepcopy(self.config), dtype=torch.float32)
        return model


def _unknown_model_type(model_type: str) -> UserError:
    near = difflib.get_close_matches(model_type, list(CONFIG_MAPPING), n=1)
    seen = f"Transformers knows no model_type {model_type!r}" if model_type else "model_type is missing"
    hint = f"did you mean {near[0]!r}?" if near else "name the model's class, for example model_type: bert"
    return UserError(seen, hint, key=("task", "model", "config", *(("model_type",) if model_type else ())))


class PretrainedCopies:
    """Hands out copies of a checkpoint read once, with new weights for what it does not hold.

    Args:
        name: Hub id or folder.
        auto_class: finds the model's class.
        trust_remote_code: run code that comes with the checkpoint.
        fields: of the configuration that the data decide.
    """

    def __init__(self, name: str, auto_class: Any, trust_remote_code: bool, **fields: Any) -> None:
        self._on_device: PreTrainedModel | None = None
        # float32 whatever the checkpoint holds: an fp16 one would train in pure fp16, silently
        self._template, found = _from_hub(
            lambda: auto_class.from_pretrained(
                name, dtype=torch.float32, output_loading_info=True,
                ignore_mismatched_sizes=True, trust_remote_code=trust_remote_code, **fields,
            ), name, "model",
        )  # fmt: skip
        self._new = {*found["missing_keys"], *(keys[0] for keys in found["mismatched_keys"])}
        self._new_modules = sorted({key.rpartition(".")[0] for key in self._new})
        self._name, self._digest = name, weights_digest(self._template)

    def __call__(self, model_seed: int) -> PreTrainedModel:
        """Return a copy of the checkpoint; the same seed gives the same new weights.

        Raises:
            UserError: something has written to the weights that copies are made of.
        """
        return self._fresh(model_seed, self._template)

    def on(self, device: torch.device, model_seed: int) -> PreTrainedModel:
        """Return the same on a device: of a GPU that has the room, one whose checkpoint stays there."""
        if device.type != "cuda":
            return self(model_seed)
        kept = self._on_device
        if kept is None or kept.device != device:
            kept = copy.deepcopy(self._template).to(device) if self._leaves_room(device) else None
            self._on_device = kept
        return self._fresh(model_seed, self._template if kept is None else kept)

    def _leaves_room(self, device: torch.device) -> bool:
        """Return whether a model that stays on a device takes little of what trials need there."""
        free_bytes, _ = torch.cuda.mem_get_info(device)
        return int(self._template.get_memory_footprint()) < KEPT_SHARE * free_bytes

    def _fresh(self, model_seed: int, template: PreTrainedModel) -> PreTrainedModel:
        if weights_digest(template) != self._digest:
            raise UserError(f"the weights of {self._name!r} have changed since they were read: "
                            "an earlier trial has written to them",
                            "this worker can train nothing more; look for shared weights in the model's code",
                            key=("task", "model"))  # fmt: skip
        model: PreTrainedModel = copy.deepcopy(template)
        set_seed(model_seed)
        for name in self._new_modules:
            # drawn on the processor, wherever the model is: a GPU draws other numbers
            module = model.get_submodule(name)
            drawn = copy.deepcopy(module).cpu()
            model._init_weights(drawn)
            self._take_new(module, drawn, name)
        return model

    def _take_new(self, module: torch.nn.Module, drawn: torch.nn.Module, name: str) -> None:
        """Give a module what the checkpoint lacks: a new bias may stand beside a tied embedding."""
        fresh = dict(drawn.named_parameters())
        with torch.no_grad():
            for own_name, weight in module.named_parameters():
                if ".".join(filter(None, (name, own_name))) in self._new:
                    weight.copy_(fresh[own_name])

    def __getstate__(self) -> dict[str, Any]:
        """Return what travels to other processes: nothing that is on a device."""
        return {**self.__dict__, "_on_device": None}


def _from_hub(load: Callable[[], Any], name: str, key: str) -> Any:
    """Return what ``load`` loads; its many kinds of failure become one readable error."""
    try:
        return load()
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"cannot load {name!r}: {reason}", "give a Hub id or a local folder that holds it",
                        key=("task", key)) from None  # fmt: skip
