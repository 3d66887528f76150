"""Training code of the user's own: a function that makes a Trainer, or a whole script."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat

from stabsearch.config.address import is_secret
from stabsearch.config.part import Part, Text, wrong

Scalar = str | int | float | bool | None
ScriptArgument = Scalar | list[Scalar]
"""A value on the command line; a list gives several."""


def _no_tokens(args: dict[str, ScriptArgument]) -> dict[str, ScriptArgument]:
    for name, value in args.items():
        if is_secret(name) and isinstance(value, str):
            raise wrong("a sweep is written down, and keeps no tokens", "set HF_TOKEN instead", (name,))
    return args


class OwnCodeTask(Part):
    """What tasks of the user's own code have in common."""

    chance_loss: PositiveFloat | None = None
    """Loss of always predicting the most likely, in the units of the loss; default: found out from labels and
    loss, where that can be done."""
    eval_rows: NonNegativeInt = 0
    """First rows of the Trainer's own ``eval_dataset`` that a trial that survived is evaluated on at its
    horizon; 0: none."""


class TrainerTask(OwnCodeTask):
    """A Trainer that the user's own function makes: any subclass, loss, collator and optimizer."""

    type: Literal["trainer"]
    """The kind of task."""
    factory: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]
    """``package.module:function``; it is given TrainingArguments and returns a Trainer on them. The
    module is looked for beside the sweep file first."""
    folder: Text | None = None
    """Folder that it runs in, and where modules are looked for first; default: that of the sweep file."""


class ScriptTask(OwnCodeTask):
    """A training script as it is: arguments by HfArgumentParser, training by ``Trainer.train()``."""

    type: Literal["script"]
    """The kind of task."""
    path: Text
    """The script; a relative path starts at the folder of the sweep file."""
    args: Annotated[dict[str, ScriptArgument], AfterValidator(_no_tokens)] = Field(default_factory=dict)
    """Its arguments, without dashes, and without those that the sweep sets."""
    folder: Text | None = None
    """Folder that it runs in, where its relative paths start; default: that of the sweep file."""
