"""A training script as it is: run up to ``Trainer.train()``, where its Trainer becomes the trial's."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import transformers

from stabsearch.errors import KeyPath, UserError
from stabsearch.task.command_line import check_named, on_command_line, passed_on
from stabsearch.task.own_code import OwnWorkload, first_line, to_mend, without_length
from stabsearch.task.script_names import forget_registered, give_names
from stabsearch.task.surroundings import Surroundings

if TYPE_CHECKING:
    from transformers import Trainer, TrainingArguments

    from stabsearch.config import ScriptTask
    from stabsearch.task.rows import TaskTable

KEY = ("task", "path")
ARGS = ("task", "args")
RUNS_TO_TRAIN = (
    "it has to build a transformers.Trainer and call train() on it when it is given --do_train True"
)


class _HandedOver(BaseException):
    """Unwinds the script at its first ``train()``; no ``except Exception`` of its own stops it."""


def build(task: ScriptTask, table: TaskTable | None = None) -> OwnWorkload:
    """Return the workload of a script: every trial runs it anew, as far as its first ``train()``.

    Args:
        task: the part ``task`` of the sweep.
        table: None: the script reads its own data.

    Raises:
        UserError: an argument is one that the sweep sets itself, or the script is not there.
    """
    check_named(task.args)
    if not Path(task.path).is_file():
        raise UserError(f"no script {task.path} on this machine",
                        "it has to be there on every machine that runs trials", key=KEY)  # fmt: skip
    place = str(Path(task.path).parent)  # Python looks for modules there first

    def make(args: TrainingArguments) -> Trainer:
        return _trainer_of(task, args)

    return OwnWorkload(
        make,
        Surroundings(task.folder or place, place, ("task", "folder")),
        KEY,
        task.chance_loss,
        task.eval_rows,
    )


def _trainer_of(task: ScriptTask, args: TrainingArguments) -> Trainer:
    """Return the Trainer that a script would train, with the script unwound around it.

    Raises:
        UserError: the script ends, exits or raises before it calls ``train()``, with what it said.
    """
    sys.argv[:] = [
        task.path, *on_command_line(task.args), "--do_train", "True", *on_command_line(passed_on(args)),
    ]  # fmt: skip
    handed: list[Trainer] = []
    said = io.StringIO()

    def hand_over(trainer: Trainer, *_: Any, **__: Any) -> None:
        give_names(task.path)
        handed.append(trainer)
        raise _HandedOver

    forget_registered(task.path)
    with (
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        patch.object(transformers.Trainer, "train", hand_over),
    ):
        problem = _run(task, handed, said)
    if handed:  # also where the script caught everything and went on
        return handed[0]
    raise problem or UserError(
        f"{Path(task.path).name} ended without a call of train()", RUNS_TO_TRAIN, key=KEY
    )


def _run(task: ScriptTask, handed: list[Trainer], said: io.StringIO) -> UserError | None:
    """Return what went wrong; None where the script handed its Trainer over, or just ended."""
    try:
        runpy.run_path(task.path, run_name="__main__")
    except _HandedOver as over:
        over.__traceback__ = None  # its frames hold all that the script has made
    except SystemExit as end:
        if not handed and end.code not in {None, 0}:
            return _exited(Path(task.path).name, end, said)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        if "out of memory" in str(error):
            raise
        return _raised(task, error)
    return None


def _exited(name: str, end: SystemExit, said: io.StringIO) -> UserError:
    lines = [line for line in said.getvalue().splitlines() if line.strip()]
    last = lines[-1].strip() if lines else ""
    if end.code == 2 and "error:" in last:  # argparse's own
        return UserError(f"{name} does not take its arguments: {last.partition('error:')[2].strip()}",
                         "correct task.args; it has to take TrainingArguments too, as HfArgumentParser does",
                         key=ARGS)  # fmt: skip
    reason = end.code if isinstance(end.code, str) else last
    return UserError(f"{name} exited with {end.code!r} before train(){f': {reason}' if reason else ''}",
                     RUNS_TO_TRAIN, key=KEY)  # fmt: skip


def _raised(task: ScriptTask, error: Exception) -> UserError:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if frame.filename == task.path]
    if isinstance(error, SyntaxError) and error.filename == task.path:
        own.append(error.lineno)
    line = own[-1] if own else None  # runpy compiles the script under this very path
    place = f" (line {line})" if line else ""
    key: KeyPath = ARGS if "HfArgumentParser" in str(error) else KEY
    return without_length(error) or UserError(
        f"{Path(task.path).name} raised {first_line(error)} before train(){place}",
        to_mend(error, "run it by itself with the same arguments, and mend what it raises"), key=key,
    )  # fmt: skip
