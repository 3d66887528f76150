"""How often the host waits for the device: counted where torch reads a number out of a tensor."""

from typing import Any

import pytest
import torch
from guard_ends import Late
from odd_models import NormedClassifier, OddConfig, Weighted
from own_trainers import make
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import BertConfig, BertForSequenceClassification, TrainerCallback

from stabsearch.trial import frozen_form
from stabsearch.trial.accumulation import LossReference
from stabsearch.trial.forms import GuardForm
from stabsearch.trial.guard import GuardLog
from stabsearch.trial.instrument import Guard

READS = ("_local_scalar_dense", "equal", "is_nonzero", "nonzero", "masked_select", "_assert_async")
"""Operations whose result the host needs, whatever the device: ``float()``, ``bool()``, ``torch.equal``."""
STEPS = 9


class Waits(TorchDispatchMode):
    """Counts what makes the host wait, per optimizer step."""

    def __init__(self) -> None:
        super().__init__()
        self.per_step = [0]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        is_to_host = name in {"_to_copy", "copy_"} and _leaves_its_device(name, args, kwargs or {})
        self.per_step[-1] += name in READS or is_to_host
        return func(*args, **(kwargs or {}))


def _leaves_its_device(name: str, args: Any, named: dict[str, Any]) -> bool:
    """Return whether a copy goes to the host from somewhere else."""
    source = args[1] if name == "copy_" else args[0]
    target = args[0].device if name == "copy_" else torch.device(named.get("device") or source.device)
    return bool(source.device.type != "cpu" and target.type == "cpu" and not named.get("non_blocking"))


class NextStep(TrainerCallback):
    """Begins to count anew after each step."""

    def __init__(self, waits: Waits) -> None:
        self.waits = waits

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.waits.per_step.append(0)


def bert() -> BertForSequenceClassification:
    """Return a tiny BERT: a real model, whose attention masks cost a wait of their own in each forward."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
        )
    )


class Ids(Weighted):
    """Rows for it."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = super().__getitem__(index)
        del row["weight"]
        return {**row, "attention_mask": [1, 1, 1, 1, index % 2]}


def waits_per_step(form: GuardForm | None, is_filtered: bool = False, **arguments: Any) -> list[int]:
    """Return how often the host waits in each step; without a form, in a training without a guard."""
    arguments = {
        "max_steps": STEPS,
        "logging_strategy": "no",
        "logging_nan_inf_filter": is_filtered,
        **arguments,
    }
    if arguments.pop("is_bert", False):
        trainer = make(rows=Ids(24), model=bert(), **arguments)
    else:
        trainer = make(rows=Weighted(24), model=NormedClassifier(OddConfig()), **arguments)
    waits = Waits()
    if form:
        Guard(trainer, _nobody_stops, LossReference(trainer), form=form)
    trainer.add_callback(NextStep(waits))
    with waits:
        trainer.train()
    return waits.per_step[1:STEPS]  # the first step may measure, and what comes after the last is its end


def _nobody_stops(log: GuardLog) -> int:
    return 5


ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"gradient_accumulation_steps": 2},
    {"bf16": True},
    {"fp16": True},
    {"fp16": True, "gradient_accumulation_steps": 2, "max_grad_norm": 0.0},
    {"is_bert": True},
    {"is_bert": True, "gradient_accumulation_steps": 2},
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_the_frozen_form_waits_for_nothing(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step waits more often than a step of the stock Trainer with its NaN filter off."""
    monkeypatch.setattr(frozen_form, "sender", lambda device: Late)
    assert waits_per_step("frozen", **arguments) == waits_per_step(None, **arguments)


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_the_stock_filter_waits_twice_per_micro_batch(arguments: dict[str, Any]) -> None:
    """Which is what the frozen form saves against the stock Trainer as it comes."""
    accumulation = arguments.get("gradient_accumulation_steps", 1)
    stock, filtered = waits_per_step(None, **arguments), waits_per_step(None, is_filtered=True, **arguments)
    assert [more - less for more, less in zip(filtered, stock, strict=True)] == [2 * accumulation] * (
        STEPS - 1
    )


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_the_plain_form_waits_no_more_than_the_stock_filter(arguments: dict[str, Any]) -> None:
    """Once per micro-batch for its loss, once per update for the norm; in fp16 twice more per update."""
    accumulation = arguments.get("gradient_accumulation_steps", 1)
    stock, plain = waits_per_step(None, **arguments), waits_per_step("plain", **arguments)
    per_update = 3 if arguments.get("fp16") else 1
    assert [more - less for more, less in zip(plain, stock, strict=True)] == [accumulation + per_update] * (
        STEPS - 1
    )


@pytest.mark.parametrize("polls", [1, 2, 3, 100])
@pytest.mark.parametrize("arguments", [{}, {"fp16": True}], ids=str)
def test_numbers_are_waited_for_at_the_beginning_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], polls: int
) -> None:
    """In between they are asked for, and left alone as long as they have not come."""
    trainer = make(rows=Weighted(24), max_steps=20, logging_strategy="no", **arguments)
    waited: list[int] = []

    class Sent(Late):
        def __init__(self, numbers: torch.Tensor) -> None:
            super().__init__(numbers, polls)

        def values(self) -> list[float]:
            if self._polls > 0:
                waited.append(trainer.state.global_step)
            return super().values()

    monkeypatch.setattr(frozen_form, "sender", lambda device: Sent)
    guard = Guard(trainer, form="frozen")
    trainer.train()
    assert len(guard.log.losses) == 20
    assert set(waited) == {0, 20}


def test_where_the_trainer_waits_itself_the_guard_does_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a log, which is the Trainer's own wait."""
    monkeypatch.setattr(frozen_form, "sender", lambda device: Late)
    trainer = make(rows=Weighted(24), max_steps=9, logging_steps=3)
    seen: list[tuple[int, int]] = []

    class Sees(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            seen.append((state.global_step, len(guard.log.losses)))

    trainer.add_callback(Sees())
    guard = Guard(trainer, form="frozen")
    trainer.train()
    assert seen == [(3, 3), (6, 6), (9, 9), (9, 9)]
