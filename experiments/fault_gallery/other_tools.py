"""What three other tools say of one training: stock logs, DebugUnderflowOverflow, detect_anomaly."""

from __future__ import annotations

import io
import math
import re
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import Trainer
from transformers.debug_utils import DebugOption
from transformers.trainer_utils import IntervalStrategy

MakeTrainer = Callable[[], Trainer]
MAX_CHARACTERS = 160  # chosen: one line of a table
RISE = 2.0  # chosen: as stabsearch's own rule for a loss that has diverged
_ANOMALY = re.compile(r"Function '\w+' returned nan values in its \w+ output")
_ABORTED = "DebugUnderflowOverflow: inf/nan detected"


@dataclass(frozen=True)
class Report:
    """What one tool said of one training."""

    tool: str
    noticed: bool
    """It raised, or printed a number that a person would stop at."""
    said: str
    """One line, shortened."""
    names_module: bool
    """It gave the qualified name of a module of the model, the right one or not."""
    names_cause: bool
    """It said what is wrong with data or settings, not merely that a number is not finite."""
    names_row: bool
    """It gave a row of the batch or of the data."""
    seconds: float
    """Making the trainer included."""


@dataclass(frozen=True)
class _Training:
    """One training as it ended."""

    log: tuple[Mapping[str, Any], ...]
    train_loss: float
    printed: str
    error: Exception | None
    seconds: float


def stock_logs(make_trainer: MakeTrainer) -> Report:
    """Return what a plain Trainer says that logs every step; an exception of the training is its word."""
    training = _train(make_trainer)
    if training.error is not None:
        return _raised("stock logs", training)
    said, noticed = _read_log(training)
    return Report("stock logs", noticed, _short(said), False, False, False, training.seconds)


def underflow_overflow(make_trainer: MakeTrainer) -> Report:
    """Return what ``TrainingArguments(debug="underflow_overflow")`` says."""
    tool = "DebugUnderflowOverflow"
    training = _train(make_trainer, debug=[DebugOption.UNDERFLOW_OVERFLOW])
    if training.error is None:
        return _silent(tool, training)
    if _ABORTED in str(training.error):
        module, said = _last_frame(training.printed)
        return replace(
            _raised(tool, training), said=_short(said), names_module=bool(module), names_cause=False
        )
    if "debug_utils.py" in "".join(traceback.format_tb(training.error.__traceback__)):
        return _crashed(tool, training)
    return _raised(tool, training)


def detect_anomaly(make_trainer: MakeTrainer) -> Report:
    """Return what ``torch.autograd.detect_anomaly`` says."""
    training = _train(make_trainer, around=torch.autograd.detect_anomaly)
    if training.error is None:
        return _silent("detect_anomaly", training)
    is_symptom = _ANOMALY.search(str(training.error)) is not None
    report = _raised("detect_anomaly", training)
    return replace(report, names_cause=False) if is_symptom else report


OTHER_TOOLS: Mapping[str, Callable[[MakeTrainer], Report]] = {
    "stock logs": stock_logs,
    "DebugUnderflowOverflow": underflow_overflow,
    "detect_anomaly": detect_anomaly,
}


def ask_other_tools(make_trainer: MakeTrainer) -> tuple[Report, ...]:
    """Return the report of every tool, each on a training of its own."""
    return tuple(ask(make_trainer) for ask in OTHER_TOOLS.values())


def _train(
    make_trainer: MakeTrainer,
    *,
    debug: list[DebugOption] | None = None,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> _Training:
    """Return one training with stock logging at every step; whatever it prints is kept from the terminal."""
    started, printed = time.perf_counter(), io.StringIO()
    log: tuple[Mapping[str, Any], ...] = ()
    train_loss, error = math.nan, None
    with warnings.catch_warnings(), redirect_stdout(printed), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        trainer = None
        try:
            trainer = make_trainer()
            _log_every_step(trainer, debug or [])
            with around():
                train_loss = trainer.train().training_loss
        except Exception as raised:  # noqa: BLE001 - a crash is a report too
            error = raised
        if trainer is not None:
            log = tuple(trainer.state.log_history)
    return _Training(log, train_loss, printed.getvalue(), error, time.perf_counter() - started)


def _log_every_step(trainer: Trainer, debug: list[DebugOption]) -> None:
    arguments: Any = trainer.args
    arguments.logging_strategy = IntervalStrategy.STEPS
    trainer.state.logging_steps = arguments.logging_steps = 1
    arguments.logging_nan_inf_filter = True  # the default, and what hides a NaN loss
    arguments.debug = debug


def _read_log(training: _Training) -> tuple[str, bool]:
    """Return the first line of the log that a person would stop at, and whether there is one."""
    steps = [entry for entry in training.log if "loss" in entry]
    end = f"train_loss {training.train_loss:.4g}"
    for entry in steps:
        loss, norm = float(entry["loss"]), float(entry.get("grad_norm", 0.0))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return f"step {entry['step']}: loss {loss:.4g}, grad_norm {norm:.4g}; {end}", True
    if not steps:
        return end, not math.isfinite(training.train_loss)
    first, last = float(steps[0]["loss"]), float(steps[-1]["loss"])
    return f"loss {first:.4g} to {last:.4g}; {end}", last > RISE * first


def _last_frame(printed: str) -> tuple[str, str]:
    """Return the module that a dump of DebugUnderflowOverflow ends with, and what is wrong there."""
    lines = printed.splitlines()
    what = next((line for line in lines if line.endswith((" has nans", " has infs"))), "inf/nan")
    # a frame's head is indented and holds a name and a class; of the model itself the class alone
    heads = [line.split() for line in lines if line.startswith(" " * 17) and "***" not in line]
    head = next((words for words in reversed(heads) if words), [])
    module = head[0] if len(head) == 2 else ""
    return module, f"{what} in {module or 'the model itself'}"


def _raised(tool: str, training: _Training) -> Report:
    error = training.error
    said = f"{type(error).__name__}: {error}"
    return Report(
        tool=tool,
        noticed=True,
        said=_short(said),
        names_module=False,
        names_cause="device-side assert" not in said,
        names_row=re.search(r"\brow \d", said) is not None,
        seconds=training.seconds,
    )


def _crashed(tool: str, training: _Training) -> Report:
    said = f"the tool itself crashes: {type(training.error).__name__}: {training.error}"
    return Report(tool, False, _short(said), False, False, False, training.seconds)


def _silent(tool: str, training: _Training) -> Report:
    return Report(tool, False, "nothing", False, False, False, training.seconds)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1] + "…"
