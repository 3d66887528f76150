"""When the guard has to have looked at everything: before the Trainer uses what it has trained."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerControl

from stabsearch.trial.instrument import _Moments

FLAGS = ("should_log", "should_evaluate", "should_save", "should_training_stop")


def settled(moment: str, control: TrainerControl) -> int:
    """Return how often a guard settles at a moment of the Trainer."""
    calls: list[None] = []
    guard: Any = SimpleNamespace(settle=lambda: calls.append(None))
    getattr(_Moments(guard), moment)(None, None, control)
    return len(calls)


@pytest.mark.parametrize("moment", ["on_step_end", "on_epoch_end"])
@pytest.mark.parametrize("flag", FLAGS)
def test_before_each_use_of_the_weights(moment: str, flag: str) -> None:
    """Logging, evaluating, saving and stopping, each by itself."""
    assert settled(moment, TrainerControl(**{flag: True})) == 1


@pytest.mark.parametrize("moment", ["on_step_end", "on_epoch_end"])
def test_not_between(moment: str) -> None:
    """A step that nobody asks about leaves the device alone."""
    assert settled(moment, TrainerControl()) == 0


def test_at_the_end_of_the_training() -> None:
    """Whatever comes then."""
    assert settled("on_train_end", TrainerControl()) == 1
