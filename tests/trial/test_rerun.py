"""A step run again gives what it gave, and leaves everything as it was."""

import copy
import math
from typing import Any

import pytest
import torch
from odd_models import NormedClassifier, OddConfig, OwnStepTrainer
from own_trainers import everything, make, same
from transformers import Trainer

from stabsearch.capture.micro_batch import MicroBatch, RngState
from stabsearch.trial.guard import GuardLog
from stabsearch.trial.instrument import Guard
from stabsearch.trial.rerun import Rerun


class Reached(Exception):  # noqa: N818 - the training has come far enough
    """Stops a training before its third update."""


def stop_at_the_third(log: GuardLog) -> None:
    if log.last_step == 3:
        raise Reached


def stopped(trainer_class: type[Trainer] = Trainer, **arguments: Any) -> Guard:
    """Return a training that was stopped before its third update."""
    guard = Guard(make(trainer_class, max_steps=4, **arguments), stop_at_the_third)
    with pytest.raises(Reached):
        guard.trainer.train()
    return guard


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize(
    ("trainer_class", "arguments"),
    [(Trainer, {}), (Trainer, {"bf16": True}), (Trainer, {"fp16": True}), (OwnStepTrainer, {})],
)
def test_a_step_gives_what_it_gave(
    trainer_class: type[Trainer], arguments: dict[str, Any], accumulation: int
) -> None:
    """Loss and norm are those that training saw: same weights, statistics and random numbers."""
    guard = stopped(trainer_class, gradient_accumulation_steps=accumulation, max_grad_norm=0.0, **arguments)
    guard.release()
    rerun = Rerun(guard.trainer, guard.window)
    seen = rerun.as_trained(guard.loss_scale)
    assert len(seen.losses) == len(guard.window) == {1: 1, 3: 2}[accumulation], "the epoch's last are fewer"
    assert sum(seen.losses) == guard.log.losses[-1]
    assert seen.grad_norm == pytest.approx(guard.log.grad_norms[-1], rel=1e-6)
    assert math.isfinite(seen.grad_norm)
    assert seen.is_finite
    assert not seen.error
    assert rerun.as_trained(guard.loss_scale).digest == seen.digest, "again, and the same in every bit"


@pytest.mark.parametrize("arguments", [{}, {"bf16": True}, {"fp16": True}])
@pytest.mark.parametrize("is_live", [True, False])
def test_nothing_is_left_behind(arguments: dict[str, Any], is_live: bool) -> None:
    """Weights, statistics, random numbers, precision, scaler and hooks are what they were."""
    guard = stopped(**arguments)
    trainer: Any = guard.trainer
    torch.manual_seed(99)
    before, rng, scaler = everything(trainer.model), torch.get_rng_state(), trainer.accelerator.scaler
    forward, backward = trainer.model.forward, trainer.accelerator.backward
    rerun = Rerun(trainer, guard.window)
    with guard.paused():
        _ = rerun.as_trained(8.0) if is_live else rerun.seen(copy.deepcopy(trainer.model), "bf16")
    assert same(everything(trainer.model), before)
    assert torch.equal(torch.get_rng_state(), rng)
    assert trainer.accelerator.scaler is scaler
    assert (trainer.model.forward, trainer.accelerator.backward) == (forward, backward)
    assert not trainer.model._forward_hooks
    if is_live:
        assert all(weight.grad is None for weight in trainer.model.parameters())
    assert len(guard.log.losses) == 3, "the guard took no note of it"


@pytest.mark.parametrize(
    ("trained", "asked"), [({}, "bf16"), ({"bf16": True}, "fp32"), ({"bf16": True}, "fp16")]
)
def test_another_precision_can_be_asked_for(trained: dict[str, Any], asked: Any) -> None:
    """The model is run in that one, and training's own comes back afterwards."""
    guard = stopped(**trained)
    guard.release()
    trainer: Any = guard.trainer
    plain = NormedClassifier(OddConfig())
    plain.load_state_dict(trainer.model.state_dict())
    rerun = Rerun(trainer, guard.window)
    own, other = rerun.as_trained(), rerun.seen(plain, asked)
    assert own.digest != other.digest
    assert own.losses[0] == pytest.approx(other.losses[0], rel=0.1)
    assert rerun.as_trained().digest == own.digest


def test_the_loss_scale_counts() -> None:
    """Gradients that are finite as they are overflow when the loss is scaled beyond reason."""
    guard = stopped()
    guard.release()
    model = guard.trainer.model
    rerun = Rerun(guard.trainer, guard.window)
    plain, scaled = rerun.seen(model, "fp32"), rerun.seen(model, "fp32", 2.0**10)
    assert scaled.losses == plain.losses
    assert scaled.grad_norm == pytest.approx(plain.grad_norm, rel=1e-5)
    assert scaled.gradients_digest != plain.gradients_digest
    broken = rerun.seen(model, "fp32", 2.0**127)
    assert broken.are_losses_finite
    assert not broken.are_gradients_finite
    assert not broken.is_finite


def test_without_gradients() -> None:
    """A loss alone, for a third of the price."""
    guard = stopped()
    guard.release()
    seen = Rerun(guard.trainer, guard.window, with_gradients=False).as_trained()
    assert seen.losses == Rerun(guard.trainer, guard.window).as_trained().losses
    assert math.isnan(seen.grad_norm)
    assert seen.is_finite


def test_another_model_keeps_its_own_statistics() -> None:
    """Initial weights go with initial statistics: those that training spoiled are not carried over."""
    guard = stopped()
    guard.release()
    spoiled = {**guard.window[0].buffers, "scale": torch.full((6,), torch.nan)}
    window = [MicroBatch(guard.window[0].inputs, guard.window[0].rng, buffers=spoiled)]
    rerun = Rerun(guard.trainer, window)
    fresh = NormedClassifier(OddConfig())
    assert rerun.seen(fresh, "fp32").is_finite
    assert fresh.scale.tolist() == [1.0] * 6, "and they are put back"
    assert not rerun.as_trained().is_finite


def test_what_a_step_raises_is_an_answer() -> None:
    """Type and first line, and everything is put back all the same."""
    guard = stopped()
    guard.release()
    batch = {**guard.window[0].inputs, "labels": torch.tensor([0, 1, 7])}
    before = everything(guard.trainer.model)
    seen = Rerun(guard.trainer, [MicroBatch(batch, RngState.now())]).as_trained()
    assert seen.error == "IndexError: Target 7 is out of bounds."
    assert not seen.is_finite
    assert not seen.are_losses_finite
    assert same(everything(guard.trainer.model), before)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_memory_that_runs_out_is_no_answer(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing about the batch, and must not be taken for a failure of it."""
    guard = stopped()
    guard.release()

    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(guard.trainer, "training_step", fail)
    with pytest.raises(type(error)):
        Rerun(guard.trainer, guard.window).as_trained()


def test_a_trainer_that_never_trained_can_run_a_step() -> None:
    """As in a replay: everything that ``train()`` would have set is there."""
    guard = stopped(gradient_accumulation_steps=2)
    guard.release()
    again = make(gradient_accumulation_steps=2)
    again.model.load_state_dict(guard.trainer.model.state_dict())
    seen = Rerun(again, guard.window).seen(again.model, "fp32")
    assert seen.is_finite
    assert sum(seen.losses) == pytest.approx(guard.log.losses[-1], rel=1e-6)
