"""Arguments as a command line that Transformers' ``HfArgumentParser`` reads back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from transformers import TrainingArguments

from stabsearch.errors import UserError
from stabsearch.task.given import given_names

ALLOWED = frozenset({"do_eval", "do_predict"})
"""TrainingArguments that a script may be given in ``task.args``: they say nothing of the training."""


def on_command_line(arguments: Mapping[str, Any]) -> list[str]:
    """Return arguments as words: ``--name=value``, for a list ``--name one two``; None is left out.

    >>> on_command_line({"text_column": "sentence", "pad": True, "layers": [1, 2], "seed": None})
    ['--text_column=sentence', '--pad=True', '--layers', '1', '2']
    """
    return [word for name, value in arguments.items() for word in _words(name, value)]


def _words(name: str, value: Any) -> Iterator[str]:
    option = f"--{name.lstrip('-')}"
    if isinstance(value, list | tuple):
        yield option
        yield from map(_word, value)
    elif value is not None:
        yield f"{option}={_word(value)}"  # in one word, whatever the value begins with


def _word(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    return json.dumps(value) if isinstance(value, dict) else str(value)


def passed_on(args: TrainingArguments) -> dict[str, Any]:
    """Return the arguments that the sweep sets, as far as a command line can say them."""
    given = given_names(args)
    fields = [field for field in dataclasses.fields(TrainingArguments) if field.init and field.name in given]
    values = {field.name: _sayable(field.name, getattr(args, field.name)) for field in fields}
    return {name: value for name, value in values.items() if value is not None}


def _sayable(name: str, value: Any) -> Any:
    """Return a value as it was before TrainingArguments made something of it; None for nothing to say."""
    if name == "report_to":
        return value or "none"  # which they turn into an empty list
    if hasattr(value, "to_dict"):  # accelerator_config
        return value.to_dict()
    is_plain = isinstance(value, bool | int | float | str | dict | list | Enum)
    return value if is_plain and value not in ({}, []) else None


def check_named(arguments: Mapping[str, Any]) -> None:
    """Raise for an argument of a script that the sweep sets itself.

    Raises:
        UserError: with the key of the argument.
    """
    owned = {field.name for field in dataclasses.fields(TrainingArguments)} - ALLOWED
    for name in arguments:
        if name.lstrip("-") in owned:
            raise UserError(f"{name} is one of TrainingArguments, which the sweep sets itself",
                            f"remove it here, and write it in the section training: {name}: ...",
                            key=("task", "args", name))  # fmt: skip
