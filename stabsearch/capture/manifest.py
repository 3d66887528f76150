"""What a bundle says of itself: ``bundle.json``, versioned plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from stabsearch.capture.typed import typed
from stabsearch.errors import UserError
from stabsearch.records.plain_json import parse_json

MANIFEST = "bundle.json"
FORMAT = "stabsearch-bundle"
VERSION = 2
READABLE_VERSIONS = frozenset({1, VERSION})
"""Version 1 knew neither adapters nor frozen parameters."""


@dataclass(frozen=True)
class FirstBad:
    """The first number that was not finite, or the first of the updates that were skipped for ever."""

    kind: str
    """``loss``, ``gradient`` or ``skipped``."""
    bits: str
    """The number as big-endian float32, hexadecimal: JSON knows no NaN, and NaNs differ."""
    text: str
    """The same for people: ``nan``, ``inf``."""
    step: int
    """1-based optimizer step; its update never happened."""
    micro_batch: int
    """1-based micro-batch since the start of training."""


@dataclass(frozen=True)
class ClassRef:
    """A class by its place, and what else is needed to make the object again."""

    module: str
    name: str


@dataclass(frozen=True)
class AdaptersRef:
    """A model of PEFT's around one of Transformers'."""

    configs: Mapping[str, Any]
    """Name of the adapter -> fields of its PeftConfig."""
    active: tuple[str, ...]


@dataclass(frozen=True)
class ModelRef:
    """The model's make; with adapters, that of the model inside."""

    cls: ClassRef
    config: Mapping[str, Any]
    """Every field of its configuration; numbers beyond JSON's as ``{"__float__": "inf"}``."""
    attn_implementation: str
    name_or_path: str = ""
    dropout: Mapping[str, float] = field(default_factory=dict)
    """Rate of each dropout module, which may have been set after the model was made."""
    hooked: tuple[str, ...] = ()
    """Modules with forward or backward hooks of the user's: these are code, and not stored."""
    adapters: AdaptersRef | None = None
    frozen: tuple[str, ...] = ()
    """Parameters that are not trained."""


@dataclass(frozen=True)
class TrainerRef:
    """The Trainer's make: its class, and the arguments that differ from their defaults."""

    cls: ClassRef
    arguments_cls: ClassRef
    """``TrainingArguments``, or the user's own."""
    arguments: Mapping[str, Any]
    loss_function: ClassRef | None = None
    """``compute_loss_func``, when the Trainer was given one."""
    accumulation: int = 1
    """Micro-batches of the step, as the Trainer divided by them."""
    loss_is_scaled_for_ga: bool | None = None


@dataclass(frozen=True)
class Numerics:
    """Everything beside weights, batch and random numbers that decides bits."""

    precision: str
    """``fp32``, ``tf32``, ``bf16`` or ``fp16`` autocast, or ``bf16-pure``."""
    loss_scale: float
    """fp16 loss scale before the update; 1.0 without a scaler."""
    device: str
    num_threads: int
    cpu_capability: str
    deterministic_algorithms: bool
    matmul_precision: str
    """fp32 matrix products: ``ieee`` or ``tf32``."""


@dataclass(frozen=True)
class Digest:
    """What a second run of the same step, on the same weights and random numbers, gave on the spot."""

    loss_bits: tuple[str, ...] = ()
    """Loss of each micro-batch, big-endian float32, hexadecimal."""
    outputs: str = ""
    """sha256 over the model's outputs."""
    gradients: str = ""
    """sha256 over the gradients of all parameters."""
    grad_norm_bits: str = ""


@dataclass(frozen=True)
class MicroBatchRef:
    """One micro-batch: its tensors stand in ``batch.safetensors`` under the names of the structure."""

    inputs: Mapping[str, Any]
    num_items: Mapping[str, Any]
    rng: Mapping[str, str]
    """Generator -> tensor name: ``cpu``, ``cuda:0``."""
    buffers: Mapping[str, str]
    """Buffer that changed within the step -> tensor with its value before this forward."""
    rows: tuple[int, ...] | None
    texts: tuple[str, ...] | None
    """Decoded rows, cut to a readable length."""
    number: int


@dataclass(frozen=True)
class Suspects:
    """Rows without which the step is finite."""

    places: tuple[int, ...] = ()
    """Place of each in its micro-batch, from 0."""
    rows: tuple[int, ...] = ()
    """Their row numbers in the training data, where known."""
    micro_batch: int = 0
    """Which micro-batch of the window, from 0."""
    is_specific: bool = False
    """True when some rows of the batch are innocent."""


@dataclass(frozen=True)
class Manifest:
    """All of a bundle but its tensors."""

    bad: FirstBad
    model: ModelRef
    trainer: TrainerRef
    numerics: Numerics
    window: tuple[MicroBatchRef, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Tied tensors: name -> the name it is stored under."""
    digest: Digest = Digest()
    outcome: str = ""
    cause: str = ""
    """What four replays pointed to; empty when nobody looked."""
    suspects: Suspects = Suspects()
    signature: str = ""
    """What kind of failure it is: one bundle per signature is kept."""
    plan: Mapping[str, Any] | None = None
    """The trial's plan, None for a user's own training."""
    learning_rate: float = 0.0
    """Learning rate of the step."""
    unstorable: Mapping[str, str] = field(default_factory=dict)
    """Inputs that are neither tensors nor plain data: name -> type. Such a bundle cannot be replayed."""
    trust_remote_code: bool = False
    machine: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """File -> sha256."""

    def to_text(self) -> str:
        """Return ``bundle.json``."""
        data = {"format": FORMAT, "version": VERSION, **_strict(asdict(self))}
        return json.dumps(data, indent=1, allow_nan=False) + "\n"


def read_manifest(text: str, place: str) -> Manifest:
    """Return what ``to_text`` wrote.

    Raises:
        UserError: no JSON, no bundle, another version's, or a field is missing, unknown or of another type.
    """
    try:
        data = parse_json(text)
    except ValueError as error:
        raise _damaged(place, error) from None
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise UserError(f"{place} describes no bundle", "give a folder below bad_batches/")
    version = data.pop("version", None)
    if version not in READABLE_VERSIONS:
        raise UserError(
            f"{place} is a bundle of version {version!r}, this stabsearch reads versions 1 to {VERSION}",
            "replay it with the stabsearch that wrote it; machine.stabsearch there names it",
        )
    try:
        manifest = typed(Manifest, _with_new_fields(data) if version == 1 else data)
        _check(manifest)
    except (TypeError, ValueError) as error:
        raise _damaged(place, error) from None
    return manifest


def _with_new_fields(data: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest of version 1 with what it did not know."""
    model = data.get("model")
    return {**data, "model": {"adapters": None, "frozen": [], **model}} if isinstance(model, dict) else data


def _check(manifest: Manifest) -> None:
    """Raise where a number cannot be one of ours.

    Raises:
        ValueError: the message names it.
    """
    numerics = manifest.numerics
    wrong = {
        "numerics.num_threads": numerics.num_threads < 1,
        "numerics.loss_scale": not numerics.loss_scale > 0,
        "trainer.accumulation": manifest.trainer.accumulation < 1,
        "window": any("cpu" not in each.rng for each in manifest.window),
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(f"{name} is out of range")


def _strict(value: Any) -> Any:
    """Return the same data with numbers that JSON does not know as text."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _damaged(place: str, error: Exception) -> UserError:
    why = str(error).partition("\n")[0]
    return UserError(f"{place} is damaged: {why}", "capture it again; a bundle is never edited")
