"""A trial ends alike in both forms of the guard: outcome, first bad step, trace, and what it captured."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from guard_ends import assert_same, bits_of, bits_of_dict, make_late
from trial_samples import (
    BuggyTrainer,
    NanLoss,
    Odd,
    OwnStepTrainer,
    PlainBackwardTrainer,
    RootTrainer,
    WeightedTrainer,
    plan,
    setup,
    too_large_for_fp16,
)

from stabsearch.capture.bundle import Bundle, read_bundle
from stabsearch.records import PRECISIONS, Cause, Outcome, OutcomeRules, Stage, TrialPlan, TrialRecord
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.run import run_trial

AMPLE = 2**30


@pytest.fixture(params=["at once", "late"], autouse=True)
def arrival(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that are there when they are asked for, and such that take a while."""
    if request.param == "late":
        make_late(monkeypatch)


def ended(trial: TrialPlan, workload: Odd, form: Any, **changes: Any) -> tuple[TrialRecord, dict[str, Any]]:
    """Return the record of a trial without its times, and everything it left, as bits."""
    with tempfile.TemporaryDirectory() as folder:
        told = setup(guard=form, bundle_dir=folder, max_bundle_bytes=AMPLE, allow_fp16_on_cpu=True, **changes)
        record = run_trial(trial, workload, told)
        left = {} if not record.bundle else bundle_bits(read_bundle(Path(folder) / record.bundle))
    trainer: Any = workload.trainers[-1]
    left["model"] = bits_of(trainer.model)
    left["step"] = trainer.state.global_step
    assert record.effective is None or record.effective.guard == form
    effective = record.effective and replace(record.effective, guard="")
    times = {"started_at": 0.0, "startup_s": 0.0, "train_s": 0.0}
    return replace(record, effective=effective, worker="", **times), left


def bundle_bits(bundle: Bundle) -> dict[str, Any]:
    """Return what a bundle holds."""
    micro_batches = [
        (
            repr(each.rows),
            bits_of_dict(each.inputs),
            bits_of_dict(each.buffers),
            bits_of_dict({"": each.rng.cpu}),
        )
        for each in bundle.window()
    ]
    return {
        "captured weights": bits_of_dict(bundle.weights()),
        "captured batch": micro_batches,
        "manifest": repr(replace(bundle.manifest, machine={})),
    }


def assert_forms_agree(trial: TrialPlan, workload: Odd, *leave_out: str, **changes: Any) -> TrialRecord:
    """Return the record, having compared the forms."""
    plain, left = ended(trial, workload, "plain", **changes)
    frozen, left_frozen = ended(trial, workload, "frozen", **changes)
    assert repr(plain) == repr(frozen)  # a NaN equals itself in writing alone
    assert_same(left, left_frozen, leave_out)
    return plain


@pytest.mark.parametrize("precision", [name for name in PRECISIONS if name != "tf32"])
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("schedule", ["hold", "exact"])
def test_a_stable_trial(tiny: RowWorkload, precision: Any, accumulation: int, schedule: Any) -> None:
    """It reaches its horizon, with the same weights."""
    record = assert_forms_agree(
        plan(precision=precision, horizon=7, warmup_steps=2), Odd(tiny), schedule=schedule,
        training={"gradient_accumulation_steps": accumulation},
    )  # fmt: skip
    assert (record.outcome, record.steps) == (Outcome.STABLE, 7)


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("trainer_class", [WeightedTrainer, OwnStepTrainer])
def test_a_poisoned_row(tiny: RowWorkload, trainer_class: Any, accumulation: int) -> None:
    """The row is named, its batch captured."""
    workload = Odd(tiny, trainer_class, rows=NanLoss(tiny.rows, bad=17))
    record = assert_forms_agree(
        plan(horizon=20), workload, training={"gradient_accumulation_steps": accumulation}
    )
    assert (record.outcome, record.suspect_rows) == (Outcome.DATA_FAULT, (17,))
    assert record.bundle


def test_a_trainer_that_goes_around_accelerate(tiny: RowWorkload) -> None:
    """It clips by itself, which nobody can read back: no measurement, in either form."""
    workload = Odd(tiny, PlainBackwardTrainer, rows=NanLoss(tiny.rows, bad=17))
    assert assert_forms_agree(plan(horizon=20), workload).cause is Cause.SETTINGS_NOT_APPLIED


@pytest.mark.parametrize("horizon", [3, 4, 5, 6, 7])
def test_a_bad_last_step(tiny: RowWorkload, horizon: int) -> None:
    """Nothing comes after it, and yet it is not missed."""

    class Poisons(WeightedTrainer):
        def compute_loss(self, *args: Any, **named: Any) -> Any:
            loss = super().compute_loss(*args, **named)
            return loss * torch.inf if self.state.global_step + 1 == horizon else loss

    record = assert_forms_agree(plan(horizon=horizon), Odd(tiny, Poisons, rows=NanLoss(tiny.rows, bad=-1)))
    assert (record.first_bad_step, record.steps) == (horizon, horizon - 1)


def test_a_bad_gradient(tiny: RowWorkload) -> None:
    """Under a finite loss."""
    assert assert_forms_agree(plan(), Odd(tiny, RootTrainer)).outcome is Outcome.DATA_FAULT


def test_a_learning_rate_that_blows_up(tiny: RowWorkload) -> None:
    """Not finite after a few steps."""
    record = assert_forms_agree(plan(learning_rate=1e12, horizon=12, max_grad_norm=0.0), Odd(tiny))
    assert record.outcome is Outcome.NONFINITE


@pytest.mark.parametrize("horizon", [11, 12, 40])
def test_a_finite_divergence(tiny: RowWorkload, horizon: int) -> None:
    """It is judged step by step; where the weights were by the time it was noticed, nobody asks."""
    record = assert_forms_agree(plan(learning_rate=30.0, horizon=horizon), Odd(tiny), "model")
    assert record.outcome is Outcome.DIVERGED
    assert record.steps < horizon, "it is stopped before the update that shows it"


@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
def test_label_smoothing(tiny: RowWorkload, max_grad_norm: float) -> None:
    """Labels are taken out of the batch on the way."""
    record = assert_forms_agree(
        plan(max_grad_norm=max_grad_norm), Odd(tiny), training={"label_smoothing_factor": 0.1}
    )
    assert record.outcome is Outcome.STABLE


def test_an_overflow_in_fp16s_forward(tiny: RowWorkload) -> None:
    """From the first step on."""
    record = assert_forms_agree(plan(precision="fp16"), Odd(tiny, change_model=too_large_for_fp16))
    assert (record.outcome, record.cause) == (Outcome.NONFINITE, Cause.PRECISION_AT_INIT)


class FromThird(RootTrainer):
    """A gradient that no loss scale makes finite, from the third step on."""

    def compute_loss(self, model: Any, inputs: Any, **named: Any) -> Any:
        if self.state.global_step < 2:
            return model(**inputs).loss
        return super().compute_loss(model, inputs, **named)


class NowAndThen(RootTrainer):
    """A gradient that no loss scale makes finite, in two of three steps."""

    def compute_loss(self, model: Any, inputs: Any, **named: Any) -> Any:
        if self.state.global_step % 3 == 0:
            return model(**inputs).loss
        return super().compute_loss(model, inputs, **named)


@pytest.mark.parametrize("min_loss_scale", [1.0, 2.0**10])
@pytest.mark.parametrize("trainer_class", [RootTrainer, FromThird, NowAndThen])
def test_a_loss_scale_at_its_floor(tiny: RowWorkload, trainer_class: Any, min_loss_scale: float) -> None:
    """The host looks closely where the floor is near: no weight moves after the step that decides."""
    record = assert_forms_agree(
        plan(precision="fp16", horizon=60), Odd(tiny, trainer_class), max_steps=80,
        rules=OutcomeRules(min_loss_scale=min_loss_scale),
    )  # fmt: skip
    assert "skipped" in record.message
    assert record.skipped_steps > 5


def test_a_ramp(tiny: RowWorkload) -> None:
    """Learning rates are those of the steps, also where the host looked later."""
    trial = plan(stage=Stage.RAMP, learning_rate=1e6, ramp_from=1e-6, horizon=30)
    record = assert_forms_agree(trial, Odd(tiny), "model")
    assert (record.outcome, record.steps) == (Outcome.DIVERGED, 24)


@pytest.mark.parametrize("bad", [-1, 17])
def test_a_training_code_that_raises(tiny: RowWorkload, bad: int) -> None:
    """A bad number that came before has the first word."""

    class Late(WeightedTrainer):
        def compute_loss(self, *args: Any, **named: Any) -> Any:
            if self.state.global_step >= 12:
                raise KeyError("my own bug")
            return super().compute_loss(*args, **named)

    record = assert_forms_agree(plan(horizon=16), Odd(tiny, Late, rows=NanLoss(tiny.rows, bad=bad)))
    assert record.outcome in {Outcome.CRASHED, Outcome.DATA_FAULT}


def test_a_training_code_that_raises_at_once(tiny: RowWorkload) -> None:
    """There is nothing to look at."""
    assert assert_forms_agree(plan(), Odd(tiny, BuggyTrainer)).outcome is Outcome.CRASHED
