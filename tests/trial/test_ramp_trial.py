"""A ramp on a live Trainer: its rates, its failure, and what is read back."""

import math
from typing import Any

import pytest
import torch
from transformers import Trainer
from trial_samples import Odd, no_dropout, plan, setup

from stabsearch.records import Cause, Effective, Outcome, TrialPlan
from stabsearch.records.ramp import as_ramp, broke_at, ramp_learning_rate
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.effective import differences
from stabsearch.trial.run import run_trial

HORIZON = 8


def ramp(low: float = 1e-6, high: float = 1e-2, **changes: Any) -> TrialPlan:
    return as_ramp(plan(**{"horizon": HORIZON, **changes}), low, high)


def planned(plan_: TrialPlan) -> list[float]:
    return [ramp_learning_rate(plan_, step) for step in range(1, plan_.horizon + 1)]


class NotingTrainer(Trainer):
    """Notes the learning rates of each optimizer step as the optimizer has them."""

    def training_step(self, *args: Any, **named: Any) -> Any:
        self.rates = [*getattr(self, "rates", []), [g["lr"] for g in self.optimizer.param_groups]]
        return super().training_step(*args, **named)


def noted(workload: Odd) -> list[list[float]]:
    return workload.trainers[-1].rates  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("schedule", ["hold", "exact"])
def test_the_rate_rises_by_the_same_factor_whatever_the_schedule(tiny: RowWorkload, schedule: str) -> None:
    """The full run's schedule does not reach a ramp; its settings count as applied."""
    workload = Odd(tiny, NotingTrainer)
    training = {"lr_scheduler_type": "cosine"}
    record = run_trial(ramp(), workload, setup(schedule=schedule, training=training))
    assert (record.outcome, record.message) == (Outcome.STABLE, f"finite for {HORIZON} steps")
    assert [rates[0] for rates in noted(workload)] == pytest.approx(planned(ramp()))
    assert record.effective is not None
    assert record.effective.peak_learning_rate == pytest.approx(1e-2)


def test_parameters_with_a_rate_of_their_own_keep_their_distance(tiny: RowWorkload) -> None:
    """A user's optimizer may give some layers a smaller rate."""

    class TwoRates(NotingTrainer):
        def create_optimizer(self, *_: Any) -> Any:
            first, *rest = self.model.parameters()
            slow = {"params": [first], "lr": self.args.learning_rate / 10}
            self.optimizer = torch.optim.AdamW([{"params": rest}, slow], lr=self.args.learning_rate)
            return self.optimizer

    workload = Odd(tiny, TwoRates)
    assert run_trial(ramp(), workload, setup()).outcome is Outcome.STABLE
    assert [fast / slow for fast, slow in noted(workload)] == pytest.approx([10] * HORIZON)


def test_a_scheduler_of_the_users_own_does_not_move_a_ramp(tiny: RowWorkload) -> None:
    """A Trainer may bring its scheduler along; a step's number alone gives its rate."""

    class Falling(NotingTrainer):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            self.lr_scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 1, gamma=0.1)
            return self.lr_scheduler

    record = run_trial(ramp(), Odd(tiny, Falling), setup())
    assert record.outcome is Outcome.STABLE, record.message


class Sensitive(Trainer):
    """A loss that becomes infinite once an update of some 1e-4 has moved the weights."""

    def compute_loss(self, model: Any, *args: Any, **named: Any) -> Any:
        weight = model.classifier.bias
        self.first = getattr(self, "first", weight.detach().clone())
        has_moved = float((weight.detach() - self.first).abs().max()) > 5e-5
        return super().compute_loss(model, *args, **named) * (math.inf if has_moved else 1)


def test_the_rate_that_broke_it_can_be_told_from_the_record(tiny: RowWorkload) -> None:
    """Stopped at its failure: the update at 1e-4 did the damage, the step after it met it."""
    seven_decades = ramp(1e-6, 1e1)
    record = run_trial(seven_decades, Odd(tiny, Sensitive), setup())
    assert (record.outcome, record.first_bad_step, record.steps) == (Outcome.NONFINITE, 4, 3)
    assert record.cause is Cause.LEARNING_RATE
    assert broke_at(record) == pytest.approx(-4)


def test_a_real_ramp_ends_before_its_top(tiny: RowWorkload) -> None:
    """Far above any sane rate the loss explodes, and the guard stops the climb."""
    climb = ramp(1e-4, 1e4, horizon=40, precision="bf16")
    record = run_trial(climb, Odd(tiny, change_model=no_dropout), setup())
    assert record.outcome in {Outcome.DIVERGED, Outcome.NONFINITE}, record.message
    broke = broke_at(record)
    assert broke is not None
    assert -3 < broke < 3.5


@pytest.fixture(scope="module")
def effective(tiny: RowWorkload) -> Effective:
    """Return what is read back from a trial; its learning rates are given apart."""
    record = run_trial(ramp(), tiny, setup())
    assert record.effective is not None
    return record.effective


def left_the_ramp(plan_: TrialPlan, rates: list[float], effective: Effective) -> bool:
    return any(line.startswith("learning_rate") for line in differences(plan_, setup(), effective, rates))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_trainer_that_did_not_climb_is_found_out(effective: Effective, precision: str) -> None:
    """A ramp whose rates were not applied is an error and no measurement."""
    climb = ramp(precision=precision)
    assert left_the_ramp(climb, [1e-2] * HORIZON, effective)
    assert left_the_ramp(climb, [*planned(climb)[:4], 5e-3], effective)
    assert not left_the_ramp(climb, planned(climb), effective)
    assert not left_the_ramp(climb, planned(climb)[:3], effective)


def test_only_the_loss_scaler_may_leave_steps_out(effective: Effective) -> None:
    """fp16 skips updates, and their rates are missing; elsewhere a gap is a mistake."""
    half = ramp(precision="fp16")
    assert not left_the_ramp(half, planned(half)[2:], effective)
    assert left_the_ramp(ramp(), planned(ramp())[2:], effective)
