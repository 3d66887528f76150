"""The guard's frozen form on a CUDA device: waits for nothing, and gives what the plain form gives."""

import copy
import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from guard_ends import assert_same, bits_of, end_of
from odd_models import NormedClassifier, OddConfig, OwnStepTrainer, RootTrainer, SteepClassifier, Weighted
from own_trainers import make
from transformers import Trainer, TrainerCallback
from trial_samples import NanLoss, Odd, WeightedTrainer, plan, setup

from stabsearch.capture.micro_batch import RngState
from stabsearch.records import Outcome
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.device_rows import DeviceRows, sender
from stabsearch.trial.instrument import Guard
from stabsearch.trial.run import run_trial

pytestmark = pytest.mark.gpu
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, at the first product of the process

POISONED = Weighted(24, bad=(7, 8))
FLAT = Weighted(24, bad=(7, 8), weight=0.0)
PRECISIONS: list[dict[str, Any]] = [{}, {"bf16": True}, {"fp16": True}]
LONG = 2_000_000_000
"""Clock cycles that keep any GPU busy for about a second."""


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    """Have the device give the same bits twice: it is the forms that are compared."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def busy() -> torch.cuda.Event:
    """Give the device something to do, and return the mark behind it."""
    torch.cuda._sleep(LONG)
    mark = torch.cuda.Event()
    mark.record()
    return mark


def on_gpu(trainer_class: type[Trainer] = Trainer, rows: Any = None, **arguments: Any) -> Trainer:
    """Return a Trainer on the device."""
    return make(trainer_class, rows, **{"use_cpu": False, "logging_strategy": "no", **arguments})


def test_random_states_are_read_without_waiting() -> None:
    """The generator's state is in the host's memory."""
    torch.zeros(1, device="cuda")
    before = RngState.now()
    mark = busy()
    states = [RngState.now() for _ in range(100)]
    assert not mark.query(), "the device is still busy"
    assert all(torch.equal(each.cuda[0], before.cuda[0]) for each in states)


def test_random_states_are_those_that_dropout_draws_from() -> None:
    """Put back, they give the same numbers again; a draw moves them."""
    ones = torch.ones(1000, device="cuda")
    before = RngState.now()
    first = torch.dropout(ones, 0.5, True)
    after = RngState.now()
    assert not torch.equal(before.cuda[0], after.cuda[0])
    before.restore()
    assert torch.equal(torch.dropout(ones, 0.5, True), first)
    assert torch.equal(RngState.now().cuda[0], after.cuda[0])


def test_rows_travel_without_waiting() -> None:
    """Asked for while the device is busy there are none; waited for, all are there, in order."""
    rows = DeviceRows(sender(torch.device("cuda", 0)), every=2)
    numbers = torch.arange(12.0, device="cuda")
    rows.add(numbers[:2])
    assert rows.all() == [[0.0, 1.0]], "page-locked memory is there from here on"
    mark = busy()
    for start in (2, 4, 6, 8):
        rows.add(numbers[start : start + 2])
        assert rows.arrived() == []
    assert not mark.query()
    assert rows.all() == [[2.0, 3.0], [4.0, 5.0], [6.0, 7.0], [8.0, 9.0]]
    rows.add(numbers[10:])
    rows.add(numbers[10:])
    torch.cuda.synchronize()
    assert [*rows.arrived(), *rows.all()] == [[10.0, 11.0]] * 2


@pytest.mark.parametrize("arguments", PRECISIONS, ids=str)
@pytest.mark.parametrize("accumulation", [1, 3])
def test_a_sound_training_is_the_stock_one(accumulation: int, arguments: dict[str, Any]) -> None:
    """A GPU with a fused optimizer gets the frozen form by itself; weights are those without a guard."""
    arguments = {**arguments, "gradient_accumulation_steps": accumulation, "max_steps": 30}
    stock = on_gpu(**arguments)
    stock.train()
    guard = Guard(trainer := on_gpu(**arguments))
    trainer.train()
    assert guard.form == "frozen"
    assert bits_of(trainer.model) == bits_of(stock.model)
    assert len(guard.log.losses) == 30


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize(
    ("trainer_class", "rows", "arguments"),
    [
        *((Trainer, Weighted(24), arguments) for arguments in PRECISIONS),
        *((Trainer, POISONED, arguments) for arguments in PRECISIONS),
        *((OwnStepTrainer, POISONED, arguments) for arguments in PRECISIONS),
        (RootTrainer, FLAT, {}),
        (RootTrainer, FLAT, {"bf16": True, "max_grad_norm": 0.0}),
        (Trainer, None, {"learning_rate": 1e37}),
    ],
)
def test_both_forms_give_the_same_bits(
    trainer_class: type[Trainer], rows: Any, arguments: dict[str, Any], accumulation: int
) -> None:
    """Log, captured batch, weights, the optimizer's own numbers, loss scale and schedule."""
    arguments = {"max_steps": 20, "lr_scheduler_type": "linear", "warmup_steps": 3,
                 "gradient_accumulation_steps": accumulation, **arguments}  # fmt: skip
    assert_same(
        end_of(on_gpu(trainer_class, rows, **arguments), "plain"),
        end_of(on_gpu(trainer_class, rows, **arguments), "frozen"),
    )


def test_both_forms_give_the_same_loss_scales() -> None:
    """Benign skips, and a scale that never settles."""
    for model in (NormedClassifier(OddConfig()), SteepClassifier(OddConfig())):
        ends = []
        for form in ("plain", "frozen"):
            trainer = on_gpu(model=copy.deepcopy(model), fp16=True, max_steps=20)
            trainer.accelerator.scaler = torch.amp.GradScaler("cuda", init_scale=2.0**26)
            ends.append(end_of(trainer, form))
        assert_same(*ends)
        assert "skipped=[True, True" in ends[0]["log"]


class Warned(TrainerCallback):
    """Counts what torch itself calls a synchronisation, per step."""

    def __init__(self) -> None:
        self.per_step: list[int] = []
        self._caught: list[Any] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._around = warnings.catch_warnings(record=True)
        self._caught = self._around.__enter__()
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")

    def on_step_end(self, *_: Any, **__: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")
        self._around.__exit__(None, None, None)
        self.per_step.append(sum("synchroniz" in str(each.message) for each in self._caught))


def synchronisations(form: Any, is_filtered: bool, **arguments: Any) -> list[int]:
    """Return how often torch waits for the device in each step after the first."""
    trainer = on_gpu(max_steps=20, logging_nan_inf_filter=is_filtered, **arguments)
    if form:
        Guard(trainer, form=form)
    warned = Warned()
    trainer.add_callback(warned)
    trainer.train()
    return warned.per_step[1:]


@pytest.mark.parametrize("arguments", [*PRECISIONS, {"gradient_accumulation_steps": 2}], ids=str)
def test_no_step_waits_for_the_device(arguments: dict[str, Any]) -> None:
    """Counted by torch: as often as without a guard and its filter, and so less than the stock Trainer."""
    stock, frozen = synchronisations(None, False, **arguments), synchronisations("frozen", False, **arguments)
    assert frozen == stock
    filtered = synchronisations(None, True, **arguments)
    assert all(more > less for more, less in zip(filtered, frozen, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "bf16-pure", "fp16"])
@pytest.mark.parametrize("bad", [-1, 17])
def test_a_trial_ends_alike(tiny: RowWorkload, precision: Any, bad: int) -> None:
    """Outcome, first bad step and trace, in each precision."""
    trial, workload = (
        plan(precision=precision, horizon=20),
        Odd(tiny, WeightedTrainer, NanLoss(tiny.rows, bad)),
    )
    plain, auto = (run_trial(trial, workload, setup(on_gpu=True, guard=form)) for form in ("plain", "auto"))
    assert plain.effective is not None
    assert auto.effective is not None
    assert (plain.effective.guard, auto.effective.guard) == ("plain", "frozen")
    assert plain.outcome is (Outcome.STABLE if bad < 0 else Outcome.DATA_FAULT), plain.message
    for name in ("outcome", "cause", "first_bad_step", "steps", "suspect_rows", "message", "skipped_steps"):
        assert getattr(plain, name) == getattr(auto, name), name
    assert repr(plain.trace) == repr(auto.trace)
