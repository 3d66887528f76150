"""PEFT adapters of a live model as plain data, and the Transformers model inside them."""

from __future__ import annotations

from typing import Any

from stabsearch.capture.manifest import AdaptersRef
from stabsearch.capture.tree import to_plain

ELSEWHERE = frozenset(
    {"base_model_name_or_path", "revision", "auto_mapping", "megatron_config", "megatron_core"}
)
"""Fields of a PeftConfig that say where things come from, not what is computed; code among them."""


def inner_model(model: Any) -> Any:
    """Return the Transformers model inside of PEFT's, or the model itself."""
    return model.get_base_model() if is_wrapped(model) else model


def is_wrapped(model: Any) -> bool:
    """Return whether a model is PEFT's, around one of Transformers'."""
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def adapters_ref(model: Any) -> AdaptersRef | None:
    """Return the adapters around a model, None where there are none."""
    if not is_wrapped(model):
        return None
    configs = {name: _fields(config) for name, config in model.peft_config.items()}
    active = model.active_adapters
    return AdaptersRef(configs, (active,) if isinstance(active, str) else tuple(active))


def _fields(config: Any) -> dict[str, Any]:
    """Return the fields of a PeftConfig that say what is computed, as strict JSON data."""
    plain = {name: to_plain(value) for name, value in config.to_dict().items() if name not in ELSEWHERE}
    return {name: value for name, value in plain.items() if value is not None}
