"""How a guarded training ended, bit by bit, for comparing the forms of the guard."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import Trainer

from stabsearch.capture.bits import digest
from stabsearch.trial import frozen_form
from stabsearch.trial.forms import GuardForm
from stabsearch.trial.gradients import plain_optimizer
from stabsearch.trial.guard import GuardLog
from stabsearch.trial.instrument import Guard, TrainingBroke, Update

OnUpdate = Callable[[GuardLog], int | None]


class Late:
    """Numbers that can be read only when they were asked for a few times, as those of a busy device."""

    def __init__(self, numbers: torch.Tensor, polls: int = 3) -> None:
        self._numbers, self._polls = numbers, polls

    def has_arrived(self) -> bool:
        """Return whether they were asked for often enough."""
        self._polls -= 1
        return self._polls <= 0

    def values(self) -> list[float]:
        """Return them, as if there had been a wait."""
        values: list[float] = self._numbers.tolist()
        return values


def make_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the numbers of the frozen form come late."""
    monkeypatch.setattr(frozen_form, "sender", lambda device: Late)


def end_of(trainer: Trainer, form: GuardForm, on_update: OnUpdate | None = None) -> dict[str, Any]:
    """Train under the guard and return everything that can be compared, each part under its name."""
    return how_it_stands(Guard(trainer, on_update, form=form), form)


def how_it_stands(guard: Guard, form: GuardForm) -> dict[str, Any]:
    """Train, and return everything that can be compared."""
    trainer: Any = guard.trainer
    raised = ""
    try:
        trainer.train()
    except TrainingBroke as broke:
        raised = str(broke)
    except Exception as error:  # noqa: BLE001 - whatever it is, it has to be the same
        raised = f"{type(error).__name__}: {error}"
    assert guard.form == form
    optimizer = plain_optimizer(trainer.optimizer)
    assert not hasattr(optimizer, "found_inf"), "the optimizer is the user's again"
    scaler = trainer.accelerator.scaler
    return {
        "raised": raised,
        "log": repr(guard.log),
        "suspect": captured(guard.suspect),
        "rows": [each.rows for each in guard.suspect.window],
        "model": bits_of(trainer.model),
        "optimizer": {k: bits_of_dict(v) for k, v in enumerate(optimizer.state.values())},
        "scaler": scaler and repr(scaler.state_dict()),
        "schedule": repr(trainer.lr_scheduler.state_dict()),
        "rates": [group["lr"] for group in optimizer.param_groups],
        "state": (trainer.state.global_step, trainer.state.epoch),
        "accumulation": trainer.current_gradient_accumulation_steps,
        "logs": [
            {key: repr(value) for key, value in log.items() if "runtime" not in key and "second" not in key}
            for log in trainer.state.log_history
        ],
    }


def captured(update: Update) -> tuple[Any, ...]:
    """Return an update's micro-batches as bits."""
    return update.step, update.loss_scale, tuple(
        (
            each.number, repr(each.num_items), digest([each.rng.cpu, *each.rng.cuda.values()]),
            bits_of_dict(each.inputs), bits_of_dict(each.buffers),
        )
        for each in update.window
    )  # fmt: skip


def bits_of(model: torch.nn.Module) -> dict[str, str]:
    """Return weights and buffers as bits."""
    return bits_of_dict(dict([*model.named_parameters(), *model.named_buffers()]))


def bits_of_dict(tensors: Any) -> dict[str, str]:
    """Return what a dictionary holds as bits."""
    return {
        str(name): digest([value.detach()]) if isinstance(value, torch.Tensor) else repr(value)
        for name, value in tensors.items()
    }


def assert_same(left: dict[str, Any], right: dict[str, Any], leave_out: tuple[str, ...] = ()) -> None:
    """Compare part by part, so that a failure names the part."""
    for name in left.keys() | right.keys():
        if name not in leave_out:
            assert left[name] == right[name], name
