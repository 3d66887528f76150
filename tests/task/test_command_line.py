"""Arguments that go through a command line and come back the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from transformers import HfArgumentParser, TrainingArguments

from stabsearch.records import Stage, TrialPlan
from stabsearch.task.command_line import on_command_line, passed_on
from stabsearch.task.given import given_names, with_given
from stabsearch.trial.arguments import trial_arguments
from stabsearch.trial.setup import TrialSetup


@dataclass
class Own(TrainingArguments):
    """Arguments with other defaults, as TRL's have."""

    learning_rate: float = 7.0
    bf16: bool = True
    report_to: None | str | list[str] = "tensorboard"  # noqa: RUF036 - the order that HfArgumentParser takes
    eval_strategy: str = "epoch"


def parsed(args: TrainingArguments) -> Own:
    """Return what a script's parser makes of the arguments."""
    (own,) = HfArgumentParser((Own,)).parse_args_into_dataclasses(on_command_line(passed_on(args)))
    return own


TRAINING: dict[str, Any] = {
    "nothing": {},
    "numbers": {"weight_decay": 1e-05, "adam_epsilon": 1e-08, "label_smoothing_factor": 0.1},
    "enumerations": {"optim": "adafactor", "lr_scheduler_type": "cosine"},
    "mappings": {"lr_scheduler_kwargs": {"num_cycles": 2}, "optim_args": "a=1,b=-2"},
    "an object": {"accelerator_config": {"split_batches": True}},
    "a text like an option": {"run_name": "--odd"},
    "switches": {"dataloader_pin_memory": False, "remove_unused_columns": False, "fp16_full_eval": True},
}


@pytest.mark.parametrize("kind", TRAINING)
def test_what_a_trial_sets_arrives(tmp_path: Path, kind: str) -> None:
    """Every argument that it is given, whatever the script's own defaults are."""
    plan = TrialPlan(0, Stage.SEARCH, 5e-5, 3, 0.5, "fp32", 7, 8, 4, weight_decay=0.0)
    setup = TrialSetup(max_steps=50, schedule="exact", training=TRAINING[kind])
    args = trial_arguments(plan, setup, str(tmp_path))
    own = parsed(args)
    given = given_names(args)
    assert {"learning_rate", "bf16", "report_to", "eval_strategy", *TRAINING[kind]} <= given
    assert {name: getattr(own, name) for name in given} == {name: getattr(args, name) for name in given}


def test_what_nobody_set_is_the_scripts_to_say(tmp_path: Path) -> None:
    """A default of Transformers' is not what the sweep asked for."""
    args = with_given(TrainingArguments(str(tmp_path), use_cpu=True, bf16=False), ["use_cpu", "bf16"])
    assert (passed_on(args), parsed(args).learning_rate) == ({"use_cpu": True, "bf16": False}, 7.0)


def test_arguments_of_which_nobody_said_anything(tmp_path: Path) -> None:
    """What differs from its default was set on purpose."""
    args = TrainingArguments(str(tmp_path), learning_rate=0.25)
    assert {"learning_rate", "output_dir"} <= given_names(args)
    assert "weight_decay" not in given_names(args)
