"""The TrainingArguments of a trial: a prefix of the full run."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from transformers import TrainingArguments
from transformers import __version__ as transformers_version

from stabsearch.errors import UserError
from stabsearch.records import TrialPlan
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
    "logging_nan_inf_filter": False,
}
"""A trial saves nothing, reports nothing, and never hides a bad loss."""
OWNED = {"output_dir", *QUIET} - {"dataloader_num_workers"}


def trial_arguments(plan: TrialPlan, setup: TrialSetup, output_dir: str) -> TrainingArguments:
    """Return the full run's arguments with the plan's values; nothing is written to ``output_dir``.

    Optimizer and schedule are built for the full run's ``max_steps``; ``hold`` keeps the peak
    learning rate after the warmup.
    """
    user = {key: value for key, value in setup.training.items() if key not in OWNED}
    held = {"lr_scheduler_type": "constant_with_warmup", "lr_scheduler_kwargs": None}
    return TrainingArguments(
        **{
            **user,
            **QUIET,
            **precision_arguments(plan.precision),
            **(held if setup.schedule == "hold" else {}),
            "output_dir": output_dir,
            "max_steps": setup.max_steps,
            "learning_rate": plan.learning_rate,
            "warmup_steps": plan.warmup_steps,
            "max_grad_norm": plan.max_grad_norm,
            "seed": plan.model_seed,
            "data_seed": plan.data_seed,
        }
    )


def check_training(training: Mapping[str, Any]) -> None:
    """Raise for a field that the installed Transformers does not know, or a value it refuses.

    Raises:
        UserError: with the key of the field and the nearest known name.
    """
    known = set(inspect.signature(TrainingArguments).parameters)
    for name in training:
        if name not in known:
            raise _unknown(name, known)
    _check_values(training)


def _unknown(name: str, known: set[str]) -> UserError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "see the Transformers documentation of TrainingArguments"
    message = f"TrainingArguments of transformers {transformers_version} has no field {name!r}"
    return UserError(message, hint, key=("training", name))


def _check_values(training: Mapping[str, Any]) -> None:
    defaults = {f.name: f.default for f in dataclasses.fields(TrainingArguments)}
    for name, value in training.items():
        expected = type(defaults.get(name))
        if expected in {int, float} and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise UserError(f"{name} must be a number, got {value!r}", "", key=("training", name))
        try:
            TrainingArguments(output_dir="unused", use_cpu=True, **{name: value} if name not in OWNED else {})
        except (ValueError, TypeError, KeyError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{name}={value!r} is refused: {reason}", "see the Transformers documentation of "
                            "TrainingArguments", key=("training", name)) from None  # fmt: skip
