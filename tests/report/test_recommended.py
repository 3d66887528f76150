"""The recommended configuration: what the user asked for, plus what was found, and nothing else."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from report_samples import make_sweep
from transformers import HfArgumentParser, TrainingArguments

from stabsearch.frontier.answer import Recommendation
from stabsearch.records import PRECISIONS, Context
from stabsearch.report.recommended import FORMATS, recommended_arguments, render

GPU = {"resources": {"gpus_per_trial": 1}}


def recommendation(precision: str = "bf16", learning_rate: float = 2.5e-3, **parts: Any) -> dict[str, Any]:
    best = Recommendation(Context(precision, 100, 0.5), learning_rate, 0.03, 0.01, 0.08)
    return recommended_arguments(make_sweep(**parts), best, 2000)


def test_carries_the_users_own_arguments() -> None:
    """What the sweep did not search stays as the user wrote it."""
    assert recommendation()["weight_decay"] == 0.01
    assert recommendation()["per_device_train_batch_size"] == 16


def test_warmup_is_in_absolute_steps() -> None:
    """An integer, so that Trainer does not read it as a share."""
    assert recommendation()["warmup_steps"] == 100
    assert isinstance(recommendation()["warmup_steps"], int)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_names_exactly_one_number_format(precision: str) -> None:
    """At most one format is switched on; tf32 is named only where it is meant."""
    arguments = recommendation(precision, **GPU)
    formats = {name for name in ("bf16", "fp16", "tf32") if arguments.get(name)}
    assert formats == ({precision} - {"fp32", "bf16-pure"})
    assert ("tf32" in arguments) == (precision == "tf32")


@pytest.mark.parametrize(("precision", "is_tf32"), [("fp32", False), ("bf16", False), ("tf32", True)])
def test_compiling_does_not_bring_tf32_by_the_back_door(precision: str, is_tf32: bool) -> None:
    """TrainingArguments switch it on together with torch_compile where nothing is said of it."""
    training = {"max_steps": 5, "torch_compile": True}
    assert recommendation(precision, training=training, **GPU)["tf32"] is is_tf32


def test_a_length_in_epochs_stays_one() -> None:
    """The user who counts in epochs gets epochs back."""
    arguments = recommendation(training={"num_train_epochs": 3})
    assert arguments["num_train_epochs"] == 3
    assert "max_steps" not in arguments


def test_measured_on_the_cpu_means_trained_on_the_cpu() -> None:
    """bf16 without use_cpu is refused on a machine without a GPU; with a GPU it is not written."""
    assert recommendation()["use_cpu"] is True
    assert "use_cpu" not in recommendation(**GPU)


def test_fp16_is_never_sent_to_the_cpu() -> None:
    """Stock Trainer would silently run it as fp32 there."""
    assert "use_cpu" not in recommendation("fp16")


def test_the_users_output_dir_wins() -> None:
    """A folder that the user named is not replaced."""
    assert recommendation(training={"max_steps": 5, "output_dir": "mine"})["output_dir"] == "mine"


@given(st.floats(1e-9, 10))
def test_every_format_gives_back_the_exact_learning_rate(learning_rate: float) -> None:
    """The number that was confirmed is the number that is used, in each format."""
    arguments = recommendation(learning_rate=learning_rate)
    assert json.loads(render(arguments, "json")) == arguments
    assert yaml.safe_load(render(arguments, "yaml")) == arguments
    scope: dict[str, Any] = {"TrainingArguments": dict}
    exec(render(arguments, "python").replace("from transformers import TrainingArguments", ""), scope)
    assert scope["training_args"] == arguments
    words = shlex.split(render(arguments, "flags"))
    assert dict(zip(words[::2], words[1::2], strict=True)) == {f"--{k}": str(v) for k, v in arguments.items()}
    assert float(words[words.index("--learning_rate") + 1]) == learning_rate


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_ends_in_a_newline(form: Any) -> None:
    """So that it can be redirected into a file."""
    assert render(recommendation(), form).endswith("\n")


def test_flags_are_what_a_training_script_reads() -> None:
    """Hugging Face's own parser makes the same arguments of them: texts, flags, lists and dictionaries."""
    training = {
        "max_steps": 2000, "output_dir": "it's here", "report_to": ["none"], "run_name": None,
        "lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": 2.0},
        "remove_unused_columns": False,
    }  # fmt: skip
    arguments = recommendation(training=training)
    words = shlex.split(render(arguments, "flags"))
    (parsed,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses(words)
    meant = TrainingArguments(**arguments)
    for name in arguments:
        assert getattr(parsed, name) == getattr(meant, name), name
