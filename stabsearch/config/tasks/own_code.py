"""Training code of the user's own: a function that makes a Trainer, or a whole script."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stabsearch.config.part import Part, Text


class TrainerTask(Part):
    """A Trainer that the user's own function makes: any subclass, loss, collator and optimizer."""

    type: Literal["trainer"]
    """The kind of task."""
    factory: Text
    """``package.module:function``; it is given TrainingArguments and returns a Trainer on them."""


class ScriptTask(Part):
    """A training script as it is: arguments by HfArgumentParser, training by ``Trainer.train()``."""

    type: Literal["script"]
    """The kind of task."""
    path: Text
    """The script; a relative path starts at the folder of the sweep file."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Its arguments, without those that the sweep sets."""
