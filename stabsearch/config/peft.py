"""Adapters instead of all weights: the part ``peft`` of ``sweep.yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PositiveInt

from stabsearch.config.part import Part, Text

Names = Annotated[tuple[Text, ...], Field(strict=False, min_length=1)]
"""Names that a YAML list may give."""


class Peft(Part):
    """LoRA, in the names of PEFT's LoraConfig; any other field of it may stand here too."""

    model_config = ConfigDict(extra="allow")

    type: Literal["lora"] = "lora"
    """The kind of adapter."""
    r: PositiveInt = 8
    """Rank of the adapters."""
    lora_alpha: PositiveInt = 8
    """Adapters are scaled by ``lora_alpha / r``."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before each adapter."""
    target_modules: Names | Text | None = None
    """Layers that get an adapter: ends of their names, ``all-linear``, or a regular expression; default:
    what PEFT has for the model's architecture."""
    modules_to_save: Names | None = None
    """Layers that are trained as a whole; a classifier's new head always is."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Which biases are trained."""
    use_rslora: bool = False
    """Scale by ``lora_alpha / sqrt(r)`` instead (Kalajdzievski 2023)."""
    init_lora_weights: bool | Text = True
    """How adapters begin: ``true`` changes nothing at first; or the name of another way that PEFT has."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the fields for LoraConfig, lists as lists."""
        named = self.model_dump(exclude={"type"})
        return {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}
