"""What broke a trial: constructed causes, each named rightly; a data fault is never evidence."""

from itertools import product
from typing import Any

import pytest
import torch
from odd_models import SteepInHalf
from transformers import Trainer
from trial_samples import (
    BuggyTrainer,
    NanLoss,
    Odd,
    RootTrainer,
    WeightedTrainer,
    flips_once,
    no_dropout,
    plan,
    setup,
    too_large_for_fp16,
)

from stabsearch.records import Cause, Outcome, TrialRecord
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.attribution import name_cause
from stabsearch.trial.run import run_trial

FP16 = setup(allow_fp16_on_cpu=True)


def ended(record: TrialRecord) -> tuple[Outcome, Cause | None]:
    return record.outcome, record.cause


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-pure", "fp16"])
def test_a_poisoned_row_is_a_data_fault(tiny: RowWorkload, precision: str) -> None:
    """A batch that is bad on the initial weights in fp32 proves nothing about the hyperparameters."""
    rows = NanLoss(tiny.rows, bad=17)
    record = run_trial(plan(precision=precision, horizon=16), Odd(tiny, WeightedTrainer, rows), FP16)
    assert ended(record) == (Outcome.DATA_FAULT, Cause.DATA)
    assert not record.outcome.is_evidence
    assert record.first_bad_step == record.steps + 1
    assert record.message.startswith(f"loss is nan at optimizer step {record.first_bad_step}")
    assert record.suspect_rows == (17,)
    assert record.message.endswith("without training row 17 the batch is sound")


def test_a_batch_without_any_label_is_a_data_fault(tiny: RowWorkload) -> None:
    """A mean over no labels at all is 0/0, with finite logits."""
    rows = [{**tiny.rows[i], "labels": -100} for i in range(8)]
    record = run_trial(plan(), Odd(tiny, rows=rows), setup())
    assert ended(record) == (Outcome.DATA_FAULT, Cause.DATA)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_absurd_learning_rate_is_evidence(tiny: RowWorkload, precision: str) -> None:
    """Fine on the initial weights, broken on those that training made, in every precision."""
    trial = plan(learning_rate=1e20, precision=precision, max_grad_norm=0.0)
    record = run_trial(trial, Odd(tiny, change_model=no_dropout), setup())
    assert ended(record) == (Outcome.NONFINITE, Cause.LEARNING_RATE)
    assert record.first_bad_step == 2


def test_weights_too_large_for_fp16_are_its_fault_from_the_start(tiny: RowWorkload) -> None:
    """The same weights are fine in fp32 and bf16; fp16 overflows in the first forward."""
    large = Odd(tiny, change_model=too_large_for_fp16)
    record = run_trial(plan(precision="fp16"), large, FP16)
    assert ended(record) == (Outcome.NONFINITE, Cause.PRECISION_AT_INIT)
    assert record.first_bad_step == 1
    assert run_trial(plan(precision="bf16", horizon=2), large, FP16).outcome is Outcome.STABLE


def divides_by_a_gap(model: Any) -> None:
    """Give the model a weight whose distance from one bfloat16 cannot hold, and divide by that distance."""
    no_dropout(model)
    model.classifier.gap = torch.nn.Parameter(torch.tensor([1.001]))
    model.classifier.register_forward_hook(lambda module, _, output: output * 1e-3 / (module.gap - 1))


def test_weights_that_only_pure_half_precision_rounds_away(tiny: RowWorkload) -> None:
    """Autocast keeps them in float32: the initial weights as planned are those in bfloat16."""
    workload = Odd(tiny, change_model=divides_by_a_gap)
    record = run_trial(plan(precision="bf16-pure"), workload, setup())
    assert ended(record) == (Outcome.NONFINITE, Cause.PRECISION_AT_INIT)
    assert (
        run_trial(plan(precision="bf16", horizon=2, learning_rate=1e-6), workload, setup()).outcome
        is Outcome.STABLE
    )


def test_a_rate_too_high_for_any_precision_is_no_fault_of_pure_half_precision(tiny: RowWorkload) -> None:
    """What training made of the weights is bad in float32 as well: it is the learning rate."""
    trial = plan(precision="bf16-pure", learning_rate=1e20, max_grad_norm=0.0, horizon=8)
    assert ended(run_trial(trial, tiny, setup())) == (Outcome.NONFINITE, Cause.LEARNING_RATE)


def test_weights_that_drift_out_of_fp16(tiny: RowWorkload) -> None:
    """Fine at the start, and after a few updates too large for fp16 but not for fp32."""
    trial = plan(precision="fp16", learning_rate=30.0, max_grad_norm=0.0, horizon=8)
    record = run_trial(trial, Odd(tiny, change_model=no_dropout), FP16)
    assert ended(record) == (Outcome.NONFINITE, Cause.PRECISION_AFTER_DRIFT)
    assert record.first_bad_step is not None
    assert record.first_bad_step > 1


def steep_in_half(model: Any) -> None:
    """Make the gradient overflow in fp16 at every loss scale."""
    no_dropout(model)
    model.classifier.register_forward_hook(lambda module, inputs, output: SteepInHalf.apply(output))


def test_a_loss_scale_at_its_floor(tiny: RowWorkload) -> None:
    """Gradients that overflow in fp16 at any scale: every update is skipped until there is no scale left."""
    record = run_trial(plan(precision="fp16", horizon=30), Odd(tiny, change_model=steep_in_half), FP16)
    assert ended(record) == (Outcome.SCALE_FLOOR, Cause.PRECISION_AT_INIT)
    assert record.first_bad_step == 1
    assert record.skipped_steps == 18
    assert record.steps == 17


@pytest.mark.parametrize(("precision", "steps"), [("fp32", 0), ("bf16", 0), ("fp16", 17)])
def test_a_loss_without_a_gradient_is_no_evidence(tiny: RowWorkload, precision: str, steps: int) -> None:
    """A gradient that is bad on the initial weights in fp32 is not the learning rate's doing."""
    record = run_trial(plan(precision=precision, horizon=30), Odd(tiny, RootTrainer), FP16)
    assert ended(record) == (Outcome.DATA_FAULT, Cause.LOSS_MISMATCH)
    assert record.steps == steps


def test_a_poisoned_micro_batch_in_the_middle_of_an_update(tiny: RowWorkload) -> None:
    """All micro-batches of an update are looked at when its gradient is bad, not the last one only."""

    class RootOfRow(WeightedTrainer):
        def compute_loss(self, model: Any, inputs: Any, **_: Any) -> Any:
            poisoned = inputs.pop("weight").isnan().any()
            outputs = model(**inputs)
            return outputs.loss + (torch.sqrt(outputs.logits * 0).sum() if poisoned else 0)

    clean = NanLoss(tiny.rows, bad=-1)
    rows = [NanLoss(tiny.rows, bad=0)[0], *(clean[i] for i in range(1, 16))]
    once = setup(training={"gradient_accumulation_steps": 4})
    record = run_trial(plan(horizon=1), Odd(tiny, RootOfRow, rows), once)
    assert ended(record) == (Outcome.DATA_FAULT, Cause.DATA)
    assert record.message.startswith("gradient is nan at optimizer step 1")
    assert record.suspect_rows == (0,)


@pytest.mark.parametrize("finite", list(product([False, True], repeat=4)))
def test_every_pattern_of_replays_has_a_cause(finite: tuple[bool, bool, bool, bool]) -> None:
    """Bad on the initial weights in fp32: the data. Everything else: a cause among the hyperparameters."""
    initial_fp32, initial_planned, captured_fp32, captured_planned = finite
    cause = name_cause(
        initial_fp32=initial_fp32,
        initial_planned=initial_planned,
        captured_fp32=captured_fp32,
        captured_planned=captured_planned,
    )
    assert (cause is Cause.DATA) == (not initial_fp32)
    assert cause is not Cause.UNKNOWN


def test_every_row_without_a_label_is_named(tiny: RowWorkload) -> None:
    """A batch of rows that are all unlabelled is 0/0: no row is innocent, and all of them are named."""
    rows = [{**tiny.rows[i], "labels": -100 if i >= 4 else 0} for i in range(8)]
    batches = setup(training={"train_sampling_strategy": "sequential"})
    record = run_trial(plan(), Odd(tiny, rows=rows), batches)
    assert ended(record) == (Outcome.DATA_FAULT, Cause.DATA)
    assert record.suspect_rows == (4, 5, 6, 7)
    assert "so is every row of its batch by itself" in record.message


def test_a_row_that_is_too_long_does_not_drag_the_others_along(tiny: RowWorkload) -> None:
    """The others are only padded to its length; by themselves they fit."""
    long = {**tiny.rows[0], "input_ids": [3] * 30, "attention_mask": [1] * 30}
    rows = [tiny.rows[i] if i != 5 else long for i in range(8)]
    record = run_trial(plan(), Odd(tiny, rows=rows), setup())
    assert ended(record) == (Outcome.DATA_FAULT, Cause.DATA)
    assert record.suspect_rows == (5,)
    assert record.first_bad_step == record.steps + 1


def test_a_label_out_of_range_is_named_although_it_raises(tiny: RowWorkload) -> None:
    """``IndexError: Target 7 is out of bounds`` is a fault of that row, not a crash."""
    rows = [{**tiny.rows[i], "labels": 7 if i == 6 else tiny.rows[i]["labels"]} for i in range(8)]
    record = run_trial(plan(), Odd(tiny, rows=rows), setup())
    assert ended(record) == (Outcome.DATA_FAULT, Cause.DATA)
    assert record.suspect_rows == (6,)
    assert "Target 7 is out of bounds" in record.message


def test_labels_that_do_not_fit_the_loss_are_a_mismatch(tiny: RowWorkload) -> None:
    """Class ids as floats choose another loss, whatever the row."""
    rows = [{**tiny.rows[i], "labels": float(tiny.rows[i]["labels"])} for i in range(8)]
    record = run_trial(plan(), Odd(tiny, rows=rows), setup())
    assert ended(record) == (Outcome.DATA_FAULT, Cause.LOSS_MISMATCH)


def test_a_bug_of_the_users_is_a_crash(tiny: RowWorkload) -> None:
    """An exception that no row is to blame for proves nothing about data or settings."""
    record = run_trial(plan(), Odd(tiny, BuggyTrainer), setup())
    assert ended(record) == (Outcome.CRASHED, Cause.UNKNOWN)


def test_what_is_finite_when_run_again_is_the_machines_fault(tiny: RowWorkload) -> None:
    """One activation is infinite once, and never again on the same weights, rows and random numbers."""
    record = run_trial(plan(), Odd(tiny, change_model=flips_once), setup())
    assert ended(record) == (Outcome.CRASHED, Cause.HARDWARE_OR_NONDETERMINISM)
    assert not record.outcome.is_evidence


def test_an_update_that_makes_nan_of_finite_gradients(tiny: RowWorkload) -> None:
    """Adam without its epsilon divides zero by zero where a gradient is zero, at any learning rate."""
    record = run_trial(plan(), tiny, setup(training={"adam_epsilon": 0.0}))
    assert ended(record) == (Outcome.NONFINITE, Cause.OPTIMIZER_SETTINGS)


def test_weights_that_are_broken_from_the_start(tiny: RowWorkload) -> None:
    """A NaN in the checkpoint is no fault of the data, and no evidence against a learning rate."""

    def poison(model: Any) -> None:
        with torch.no_grad():
            model.classifier.weight[0, 0] = float("nan")

    record = run_trial(plan(), Odd(tiny, change_model=poison), setup())
    assert ended(record) == (Outcome.DATA_FAULT, Cause.INITIALISATION)


def test_a_failure_without_an_explanation_is_still_a_failure(
    tiny: RowWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for a second model: the NaN was measured all the same, and the note says what is missing."""

    def no_room(*_: Any) -> Any:
        raise torch.OutOfMemoryError("no room for a second model")

    monkeypatch.setattr("stabsearch.trial.ending.attribute", no_room)
    record = run_trial(
        plan(learning_rate=1e20, max_grad_norm=0.0), Odd(tiny, change_model=no_dropout), setup()
    )
    assert ended(record) == (Outcome.NONFINITE, Cause.UNKNOWN)
    assert record.first_bad_step == 2
    assert "its cause could not be looked for: OutOfMemoryError: no room" in record.message


class Careful(Trainer):
    """A user's loss that raises by itself where the model's outputs are not finite."""

    def compute_loss(self, model: Any, inputs: Any, **_: Any) -> Any:
        outputs = model(**inputs)
        if not bool(torch.isfinite(outputs.logits).all()):
            raise FloatingPointError("logits are not finite")
        return outputs.loss


def test_a_training_that_raises_on_its_own_nan_has_failed(tiny: RowWorkload) -> None:
    """It raises on the weights that training made and not on the initial ones: evidence, no crash."""
    careful = Odd(tiny, Careful, change_model=no_dropout)
    record = run_trial(plan(learning_rate=1e20, max_grad_norm=0.0), careful, setup())
    assert ended(record) == (Outcome.NONFINITE, Cause.LEARNING_RATE)
    assert record.first_bad_step == 2
    assert "logits are not finite" in record.message
