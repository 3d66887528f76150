"""Adapters of a bundle, put around a model that was made again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stabsearch.capture.tree import from_plain
from stabsearch.errors import UserError
from stabsearch.trial.adapters import ELSEWHERE

if TYPE_CHECKING:
    from stabsearch.capture.manifest import AdaptersRef


def with_adapters(model: Any, made: AdaptersRef) -> Any:
    """Return the model with adapters of the same make; their weights are still to be loaded.

    Raises:
        UserError: PEFT is not installed here, or no longer knows such adapters.
    """
    try:
        import peft
    except ImportError:
        raise UserError("this bundle holds adapters, and the package peft is not installed here",
                        "pip install 'stabsearch[peft]'") from None  # fmt: skip
    configs = {name: _config(peft, dict(fields)) for name, fields in made.configs.items()}
    (first, config), *others = configs.items()
    wrapped = peft.get_peft_model(model, config, adapter_name=first, autocast_adapter_dtype=False)
    for name, other in others:
        wrapped.add_adapter(name, other)
    if others:
        wrapped.base_model.set_adapter(list(made.active))  # PeftModel's own takes only one
    return wrapped


def _config(peft: Any, fields: dict[str, Any]) -> Any:
    kind = fields.get("peft_type")
    if kind not in peft.PEFT_TYPE_TO_CONFIG_MAPPING:
        raise UserError(f"peft {peft.__version__} knows no adapters of type {kind!r}",
                        "replay it with the version of peft that wrote it")  # fmt: skip
    given = {name: value for name, value in from_plain(fields).items() if name not in ELSEWHERE}
    if "init_lora_weights" in given:
        given["init_lora_weights"] = False  # the weights are loaded; some ways to begin change the model
    return peft.PEFT_TYPE_TO_CONFIG_MAPPING[kind](**given)
