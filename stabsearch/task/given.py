"""Which TrainingArguments a sweep sets: for the others, a user's own code keeps its own defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from transformers import TrainingArguments

if TYPE_CHECKING:
    from dataclasses import Field

_NAMES = "_given_by_sweep"


def with_given(args: TrainingArguments, names: Iterable[str]) -> TrainingArguments:
    """Return the arguments, which know from now on that these names of theirs were set on purpose.

    A default need not be what nobody asked for: TRL's arguments have other ones.
    """
    setattr(args, _NAMES, frozenset(names))
    return args


def given_names(args: TrainingArguments) -> frozenset[str]:
    """Return the names that were set on purpose; where nobody said, those that differ from their defaults."""
    known: frozenset[str] | None = getattr(args, _NAMES, None)
    if known is not None:
        return known
    fields = dataclasses.fields(TrainingArguments)
    return frozenset(field.name for field in fields if getattr(args, field.name) != _default(field))


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if callable(field.default_factory) else field.default
