"""The TrainingArguments of a trial: a prefix of the full run."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import inspect
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from transformers import TrainingArguments
from transformers import __version__ as transformers_version

from stabsearch.errors import UserError
from stabsearch.records import TrialPlan
from stabsearch.task.given import with_given
from stabsearch.trial.precision import precision_arguments
from stabsearch.trial.setup import TrialSetup

QUIET = {
    "save_strategy": "no",
    "eval_strategy": "no",
    "logging_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "load_best_model_at_end": False,
    "push_to_hub": False,
    "dataloader_num_workers": 0,
    "dataloader_prefetch_factor": None,
    "dataloader_persistent_workers": False,
    "auto_find_batch_size": False,  # out of memory is recorded, never answered with another batch size
    "logging_nan_inf_filter": False,
}
"""A trial saves nothing, reports nothing, and never hides a bad loss."""
OWNED = {"output_dir", *QUIET}
BETWEEN_PROCESSES = frozenset({"ddp_backend", "fsdp", "fsdp_config"})
"""What a process without others to train with refuses to hear of."""
NEEDS_EVALUATION = ("reduce_lr_on_plateau", "greedy")
"""Schedules that follow evaluations, of which a trial has one at most, at its end."""
NAME_OF_KIND = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    NoneType: "null",
}
DOCUMENTATION = "see the Transformers documentation of TrainingArguments"


def trial_arguments(plan: TrialPlan, setup: TrialSetup, output_dir: str) -> TrainingArguments:
    """Return the full run's arguments with the plan's values; nothing is written to ``output_dir``.

    Optimizer and schedule are built for the full run's ``max_steps``; ``hold`` keeps the peak
    learning rate after the warmup.
    """
    left_out = OWNED if setup.num_processes > 1 else {*OWNED, *BETWEEN_PROCESSES}
    user = {key: value for key, value in setup.training.items() if key not in left_out}
    held = {"lr_scheduler_type": "constant_with_warmup", "lr_scheduler_kwargs": None}
    given = {
        **user,
        **QUIET,
        **precision_arguments(plan.precision, setup.on_gpu),
        **(held if setup.schedule == "hold" else {}),
        "output_dir": output_dir,
        "max_steps": setup.max_steps,
        **plan.arguments,
        "seed": plan.model_seed,
        "data_seed": plan.data_seed,
    }
    return with_given(TrainingArguments(**given), given)


def check_training(training: Mapping[str, Any], schedule: Literal["hold", "exact"] = "hold") -> None:
    """Raise for a field that the installed Transformers does not know, or a value it refuses.

    Args:
        training: the user's TrainingArguments fields.
        schedule: what trials do after their warmup; ``exact`` needs a schedule they can follow.

    Raises:
        UserError: with the key of the field and the nearest known name.
    """
    known = set(inspect.signature(TrainingArguments).parameters)
    for name in training:
        if name not in known:
            raise _unknown(name, known)
    for name, value in training.items():
        _check_type(name, value)
    _check_accepted(training)
    if schedule == "exact" and training.get("lr_scheduler_type") in NEEDS_EVALUATION:
        message = f"trials evaluate at their end only: {training['lr_scheduler_type']} follows evaluations"
        raise UserError(
            message, "choose another, or budget.schedule: hold", key=("training", "lr_scheduler_type")
        )


def _unknown(name: str, known: set[str]) -> UserError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else DOCUMENTATION
    message = f"TrainingArguments of transformers {transformers_version} has no field {name!r}"
    return UserError(message, hint, key=("training", name))


def _check_type(name: str, value: Any) -> None:
    """Raise for a value of the wrong kind: Transformers takes most of them without a word."""
    field = _fields()[name]
    kinds = {kind for kind in field.kinds if kind in NAME_OF_KIND}
    if name == "fsdp":
        kinds.add(bool)  # its text is the old way: Transformers asks for true
    is_plain = bool(kinds) and kinds.issuperset(field.kinds)
    if is_plain and type(value) not in kinds and not (float in kinds and type(value) is int):
        wanted = " or ".join(name_of_kind for kind, name_of_kind in NAME_OF_KIND.items() if kind in kinds)
        raise UserError(
            f"{name} must be {wanted}, got {value!r}", _hint(kinds, value), key=("training", name)
        )
    if field.choices and value is not None and value not in field.choices:
        raise _not_among(name, value, field.choices)


def _hint(kinds: set[type], value: Any) -> str:
    if isinstance(value, str) and kinds & {int, float}:
        with contextlib.suppress(ValueError):
            return f"write {float(value)!r}"
    return DOCUMENTATION


def _not_among(name: str, value: Any, allowed: Sequence[str]) -> UserError:
    near = difflib.get_close_matches(str(value), allowed, n=1)
    known = ", ".join(sorted(allowed))
    hint = f"did you mean {near[0]!r}?" if near else DOCUMENTATION
    return UserError(f"unknown {name} {value!r} (known: {known})", hint, key=("training", name))


def _check_accepted(training: Mapping[str, Any]) -> None:
    """Raise when Transformers refuses the fields, naming the one that is at fault alone, or all."""
    for name, value in training.items():
        choices = [
            str(choice.value) for kind in _fields()[name].kinds if issubclass(kind, Enum) for choice in kind
        ]
        if choices and isinstance(value, str) and value not in choices:
            raise _not_among(name, value, choices)
    reason = _refusal(training)
    if reason:
        guilty = [name for name, value in training.items() if _refusal({name: value}) == reason]
        named = f"{guilty[0]}={training[guilty[0]]!r}" if guilty else ", ".join(training)
        raise UserError(f"{named} is refused: {reason}", DOCUMENTATION, key=("training", *guilty[:1]))


def _refusal(training: Mapping[str, Any]) -> str:
    """Return why Transformers refuses these fields, in one line; empty when it does not."""
    here = {name: value for name, value in training.items() if name not in BETWEEN_PROCESSES}
    try:
        TrainingArguments(**{"output_dir": "unused", "use_cpu": True, **here})
    except (ValueError, TypeError, KeyError, ImportError, AttributeError, OSError) as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return ""


@dataclasses.dataclass(frozen=True)
class _Field:
    kinds: tuple[type, ...]
    """Types that the field is annotated with."""
    choices: tuple[str, ...]


@cache
def _fields() -> dict[str, _Field]:
    hints = get_type_hints(TrainingArguments)
    return {
        field.name: _Field(_kinds(hints[field.name]), tuple(field.metadata.get("choices") or ()))
        for field in dataclasses.fields(TrainingArguments)
    }


def _kinds(hint: Any) -> tuple[type, ...]:
    kinds = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    return tuple(kind if isinstance(kind, type) and get_origin(kind) is None else object for kind in kinds)
