"""A training configuration that somebody else wrote, as fields of Hugging Face's TrainingArguments.

Read are TrainingArguments as JSON or YAML, the YAML of axolotl and of accelerate, and lists of
``name=value`` or ``--name value``.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from stabsearch.config.document import MAX_BYTES, NotYamlError, parse
from stabsearch.errors import UserError

Style = Literal["transformers", "axolotl", "accelerate"]
STDIN = Path("-")
_EXAMPLE = "give TrainingArguments as JSON or YAML, axolotl's or accelerate's YAML, or lines of name=value"
_PAIR = re.compile(r"([A-Za-z_][\w.-]*)\s*=\s*(.*)")
_LISTED = re.compile(r"(?:--[A-Za-z]|[A-Za-z_][\w.-]*\s*=)")
_AXOLOTL_ONLY = frozenset({"base_model", "micro_batch_size", "num_epochs", "lr_scheduler", "optimizer"})
_ACCELERATE_ONLY = frozenset({"compute_environment", "distributed_type", "mixed_precision"})
_AXOLOTL_NAMES = {
    "micro_batch_size": "per_device_train_batch_size",
    "num_epochs": "num_train_epochs",
    "optimizer": "optim",
    "lr_scheduler": "lr_scheduler_type",
}
_AXOLOTL_DEFAULTS = {
    "per_device_train_batch_size": 1,
    "num_train_epochs": 1,
    "lr_scheduler_type": "cosine",
}  # axolotl 0.10: its schema of hyperparameters


@dataclass(frozen=True)
class TrainingFile:
    """What configurations say of one training run."""

    places: tuple[str, ...]
    """The files, as the user named them."""
    styles: frozenset[Style]
    arguments: Mapping[str, Any]
    """By the names of TrainingArguments; beside them ``mixed_precision`` and ``num_processes``."""
    lines: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """File and 1-based line of each argument."""

    def where(self, name: str) -> str:
        """Return ``file:line`` of an argument; the first file where nothing says it."""
        file, line = self.lines.get(name, (self.places[0], 0))
        return f"{file}:{line}" if line else file


@dataclass(frozen=True)
class _Read:
    place: str
    style: Style
    arguments: dict[str, Any]
    lines: dict[str, int]


def read_training(paths: Sequence[Path]) -> TrainingFile:
    """Return what one or more files say of a training run; ``-`` is the standard input.

    Raises:
        UserError: a file cannot be read or holds no settings, or two of them disagree.
    """
    read = [_read(path) for path in paths]
    arguments: dict[str, Any] = {}
    lines: dict[str, tuple[str, int]] = {}
    for each in read:
        for name, value in each.arguments.items():
            if name in arguments and arguments[name] != value:
                first = lines[name][0]
                message = f"{each.place}: {name} is {value!r} here and {arguments[name]!r} in {first}"
                raise UserError(message, "leave it out in one of them")
            arguments[name] = value
            lines.setdefault(name, (each.place, each.lines.get(name, 0)))
    return TrainingFile(
        tuple(each.place for each in read), frozenset(each.style for each in read), arguments, lines
    )


def _read(path: Path) -> _Read:
    place = "stdin" if path == STDIN else str(path)
    text = _text(path, place)
    first = next((line.strip() for line in text.splitlines() if line.strip()[:1] not in {"", "#"}), "")
    if not first:
        raise UserError(f"{place}: the file is empty", _EXAMPLE)
    data, lines = _listed(text, place) if _LISTED.match(first) else _document(text, place)
    return _translated(place, data, lines)


def _text(path: Path, place: str) -> str:
    try:
        if path == STDIN:
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        elif path.exists() and not path.is_file():  # opening a pipe would wait for its writer
            raise UserError(f"{place}: not a plain file", _EXAMPLE)
        else:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UserError(f"{place}: cannot be read: {why}", _EXAMPLE) from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{place}: longer than {MAX_BYTES >> 20} MiB", _EXAMPLE)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: not UTF-8 text (byte {error.start})", "save the file as UTF-8") from None


def _document(text: str, place: str) -> tuple[dict[str, Any], dict[str, int]]:
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # which JSON may indent by, and has nowhere else
    try:
        document = parse(text)
    except NotYamlError as error:
        marks = ":".join([place, *(str(mark) for mark in (error.line, error.column) if mark)])
        raise UserError(f"{marks}: {error.problem}", _EXAMPLE) from None
    if not isinstance(document.data, dict) or not isinstance(document.root, yaml.MappingNode):
        raise UserError(f"{place}: no settings in it, but one value or a list", _EXAMPLE)
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in document.root.value}
    return {str(key): value for key, value in document.data.items()}, lines


def _listed(text: str, place: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the settings of ``--name value``, ``--name=value``, ``--flag`` and ``name = value``."""
    data: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for number, written in enumerate(text.splitlines(), start=1):
        for name, value in _pairs(written.strip(), f"{place}:{number}"):
            if name in data:
                message = f"{place}:{number}: {name} is given twice, first on line {lines[name]}"
                raise UserError(message, "remove one of them")
            data[name], lines[name] = value, number
    return data, lines


def _pairs(line: str, place: str) -> list[tuple[str, Any]]:
    line = line.removesuffix("\\").strip()
    if not line or line.startswith("#"):
        return []
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise UserError(f"{place}: {str(error).lower()}", "close the quotes") from None
    if not line.startswith("--") and (spaced := _PAIR.fullmatch(" ".join(words))):
        return [(_name(spaced[1]), _value(spaced[2]))]
    pairs: list[tuple[str, Any]] = []
    while words:
        word = words.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not re.fullmatch(r"[A-Za-z_][\w.-]*", name):
            raise UserError(f"{place}: {word!r} belongs to no setting", "write name=value or --name value")
        if not equals:
            value = words.pop(0) if words and not words[0].startswith("--") else "true"
        pairs.append((_name(name), _value(value)))
    return pairs


def _name(text: str) -> str:
    return text.replace("-", "_")


def _value(text: str) -> Any:
    try:
        return parse(text).data
    except NotYamlError:
        return text


def _translated(place: str, data: dict[str, Any], lines: dict[str, int]) -> _Read:
    if data.keys() & _AXOLOTL_ONLY:
        names = {name: _AXOLOTL_NAMES.get(name, name) for name in data}
        twice = [name for name in _AXOLOTL_NAMES if name in data and _AXOLOTL_NAMES[name] in data]
        if twice:
            message = f"{place}: both {twice[0]} and {_AXOLOTL_NAMES[twice[0]]}"
            raise UserError(message, "keep axolotl's name of it")
        named = {names[name]: value for name, value in data.items() if value is not None}
        moved = {names[name]: line for name, line in lines.items() if name in names}
        return _Read(place, "axolotl", {**_AXOLOTL_DEFAULTS, **named}, moved)
    if data.keys() & _ACCELERATE_ONLY and "learning_rate" not in data:
        return _accelerate(place, data, lines)
    return _Read(place, "transformers", {k: v for k, v in data.items() if v is not None}, lines)


def _accelerate(place: str, data: dict[str, Any], lines: dict[str, int]) -> _Read:
    """Return what accelerate's own settings say of the training; the rest is about machines."""
    found = {name: data[name] for name in ("mixed_precision", "num_processes") if data.get(name) is not None}
    deepspeed = data.get("deepspeed_config")
    for key, name in (
        ("gradient_clipping", "max_grad_norm"),
        ("gradient_accumulation_steps", "gradient_accumulation_steps"),
    ):
        value = deepspeed.get(key) if isinstance(deepspeed, dict) else None
        if value is not None and value != "auto":
            found[name] = value
            lines = {**lines, name: lines.get("deepspeed_config", 0)}
    return _Read(place, "accelerate", found, lines)
