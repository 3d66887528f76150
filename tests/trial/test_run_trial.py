"""One plan in, one record out: whatever happens inside."""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import IterableDataset
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments
from trial_samples import NanLoss, Odd, WeightedTrainer, no_dropout, plan, setup

from stabsearch.errors import UserError
from stabsearch.records import Cause, Outcome, TrialRecord
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.run import run_trial, run_trial_of

Raiser = Callable[[], BaseException]


def raising(error: BaseException, at_step: int = 1) -> type[Trainer]:
    """Return a Trainer whose loss raises at an optimizer step."""

    class RaisingTrainer(Trainer):
        def compute_loss(self, *args: Any, **named: Any) -> Any:
            if self.state.global_step + 1 == at_step:
                raise error
            return super().compute_loss(*args, **named)

    return RaisingTrainer


def test_a_stable_trial_reaches_its_horizon_exactly(tiny: RowWorkload) -> None:
    """A trial stops at its horizon by itself, long before the full run would end."""
    record = run_trial(plan(horizon=6), tiny, setup())
    assert record.outcome is Outcome.STABLE
    assert record.cause is None
    assert record.steps == 6
    assert record.trace.steps == (1, 2, 3, 4, 5, 6)
    assert all(math.isfinite(x) for x in (*record.trace.losses, *record.trace.grad_norms))
    assert record.chance_loss == tiny.chance_loss
    assert record.train_s > 0
    assert record.started_at > 0
    assert record.machine["torch"] == torch.__version__


def test_the_effective_settings_are_read_back(tiny: RowWorkload) -> None:
    """What the record says of the settings was seen on the live trainer."""
    record = run_trial(plan(warmup_steps=2, max_grad_norm=0.5, precision="bf16"), tiny, setup())
    effective = record.effective
    assert effective is not None
    assert effective.peak_learning_rate == effective.final_learning_rate == 1e-3
    assert effective.max_grad_norm == 0.5
    assert effective.autocast_dtype == "bfloat16"
    assert effective.parameter_dtype == "float32"
    assert (effective.loss_scaler, effective.matmul_precision) == (False, "ieee")
    assert (effective.device, effective.batch_rows) == ("cpu", 4)
    assert (effective.optimizer, effective.betas) == ("AdamW", (0.9, 0.999))


@pytest.mark.parametrize("max_grad_norm", [0.0, 1e-3])
def test_the_clipped_share_counts_norms_above_the_limit(tiny: RowWorkload, max_grad_norm: float) -> None:
    """Without clipping nothing is clipped; under a tiny limit everything is."""
    record = run_trial(plan(max_grad_norm=max_grad_norm, horizon=3), tiny, setup())
    assert record.outcome is Outcome.STABLE
    assert record.clipped_share == (1.0 if max_grad_norm else 0.0)
    assert record.effective is not None
    assert record.effective.max_grad_norm == max_grad_norm


def test_hold_keeps_the_peak_after_the_warmup(tiny: RowWorkload) -> None:
    """The learning rate rises linearly over the warmup and then stays."""
    rates = rates_of(tiny, plan(warmup_steps=3, horizon=8), setup(max_steps=10))
    assert rates == pytest.approx([0, 1e-3 / 3, 2e-3 / 3, *[1e-3] * 5])


def test_exact_follows_the_full_run(tiny: RowWorkload) -> None:
    """The schedule is built for the full run, not for the horizon."""
    rates = rates_of(tiny, plan(warmup_steps=2, horizon=6), setup(max_steps=10, schedule="exact"))
    assert rates == pytest.approx([0, 5e-4, 1e-3, 7e-4 / 0.8, 6e-4 / 0.8, 5e-4 / 0.8])


def rates_of(tiny: RowWorkload, plan_: Any, setup_: Any) -> list[float]:
    """Return the learning rate of every step of a trial."""
    rates: list[float] = []

    class NotingTrainer(Trainer):
        def training_step(self, *args: Any, **named: Any) -> Any:
            rates.append(self.optimizer.param_groups[0]["lr"])
            return super().training_step(*args, **named)

    record = run_trial(plan_, Odd(tiny, NotingTrainer), setup_)
    assert record.outcome is Outcome.STABLE, record.message
    return rates


@pytest.mark.parametrize("accumulation", [1, 2, 4])
def test_a_trial_is_a_prefix_of_the_full_run(tiny: RowWorkload, accumulation: int) -> None:
    """With the exact schedule, a trial's losses are bitwise the first losses of the full run."""
    training = {
        "gradient_accumulation_steps": accumulation,
        "weight_decay": 0.1,
        "lr_scheduler_type": "cosine",
    }
    full: list[float] = []

    class NotingTrainer(Trainer):
        def training_step(self, *args: Any, **named: Any) -> Any:
            loss = super().training_step(*args, **named)
            full.append(float(loss))
            return loss

    trial_plan = plan(warmup_steps=2, horizon=7, model_seed=5, data_seed=6)
    record = run_trial(trial_plan, tiny, setup(max_steps=20, schedule="exact", training=training))
    args = TrainingArguments(
        output_dir=tempfile.gettempdir(), use_cpu=True, max_steps=20, learning_rate=1e-3, warmup_steps=2,
        max_grad_norm=1.0, seed=5, data_seed=6, per_device_train_batch_size=4, report_to="none",
        save_strategy="no", disable_tqdm=True, logging_strategy="no", **training,
    )  # fmt: skip
    collator = DataCollatorWithPadding(tiny.tokenizer)
    trainer = NotingTrainer(model=tiny.model(5), args=args, train_dataset=tiny.rows, data_collator=collator)
    trainer.train()
    assert len(full) == 20 * accumulation
    windows = [full[i : i + accumulation] for i in range(0, 7 * accumulation, accumulation)]
    assert list(record.trace.losses) == [sum(window) / len(window) for window in windows]


def test_the_same_plan_gives_the_same_numbers(tiny: RowWorkload) -> None:
    """A trial replays bit for bit, also after other trials in the same process."""
    first = run_trial(plan(), tiny, setup())
    run_trial(plan(model_seed=9, precision="bf16"), tiny, setup())
    again = run_trial(plan(), tiny, setup())
    assert first.trace == again.trace


def test_what_a_trainer_draws_while_it_is_built_does_not_matter(tiny: RowWorkload) -> None:
    """The model seed decides the dropout, whatever a user's Trainer did before it trained."""

    class DrawingTrainer(Trainer):
        def __init__(self, **named: Any) -> None:
            super().__init__(**named)
            torch.seed()

    records = [
        run_trial(plan(), Odd(tiny, trainer_class), setup()) for trainer_class in (Trainer, DrawingTrainer)
    ]
    assert records[0].trace == records[1].trace


def test_the_same_plan_gives_the_same_numbers_in_another_process(tiny: RowWorkload) -> None:
    """A trial replays bit for bit on the same machine."""
    code = (
        "import json; from trial_samples import *; from stabsearch.trial.run import run_trial; "
        "print(json.dumps(run_trial(plan(), build_tiny(), setup()).trace.losses))"
    )
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True)
    assert tuple(json.loads(done.stdout.splitlines()[-1])) == run_trial(plan(), tiny, setup()).trace.losses


def test_both_seeds_change_the_losses(tiny: RowWorkload) -> None:
    """Another model seed or another data seed is another trial."""
    losses = {
        run_trial(plan(**seeds), tiny, setup()).trace.losses
        for seeds in ({}, {"model_seed": 8}, {"data_seed": 8}, {"model_seed": 8, "data_seed": 8})
    }
    assert len(losses) == 4


def test_the_data_seed_decides_the_rows_alone(tiny: RowWorkload) -> None:
    """The order of the rows follows the data seed, whatever the model seed is, and vice versa."""
    seen = {seeds: first_batch(tiny, *seeds) for seeds in ((1, 1), (2, 1), (1, 2))}
    assert torch.equal(seen[1, 1][0], seen[2, 1][0])
    assert not torch.equal(seen[1, 1][0], seen[1, 2][0])
    assert torch.equal(seen[1, 1][1], seen[1, 2][1])
    assert not torch.equal(seen[1, 1][1], seen[2, 1][1])


def first_batch(tiny: RowWorkload, model_seed: int, data_seed: int) -> tuple[Any, Any]:
    """Return token ids of the first batch and the head's initial weights."""
    seen: list[Any] = []

    class NotingTrainer(Trainer):
        def training_step(self, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            seen.append((inputs["input_ids"].clone(), model.classifier.weight.detach().clone()))
            return super().training_step(model, inputs, *rest, **named)

    run_trial(plan(model_seed=model_seed, data_seed=data_seed, horizon=1), Odd(tiny, NotingTrainer), setup())
    ids, head = seen[0]
    return ids, head


@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
def test_a_learning_rate_far_too_high_is_a_result(tiny: RowWorkload, max_grad_norm: float) -> None:
    """Divergence is an outcome with the step where it began, and nothing raises."""
    trial = plan(learning_rate=1.0, max_grad_norm=max_grad_norm, horizon=40)
    record = run_trial(trial, tiny, setup())
    assert record.outcome is Outcome.DIVERGED
    assert record.cause is Cause.LEARNING_RATE
    assert record.first_bad_step is not None
    assert 1 < record.first_bad_step <= record.steps + 1
    assert record.steps == len(record.trace.losses) - 1
    assert "stayed above" in record.message


def test_a_workload_that_cannot_be_built_is_a_crash() -> None:
    """The user's message is in the record, without a traceback."""

    def build() -> RowWorkload:
        raise UserError("no such file: rows.tsv")

    record = run_trial_of(plan(), build, setup())
    assert (record.outcome, record.message, record.steps) == (Outcome.CRASHED, "no such file: rows.tsv", 0)


def test_a_workload_that_raises_later_is_a_crash(tiny: RowWorkload) -> None:
    """Every part of a workload may raise; there is one record all the same."""

    class NoChance(Odd):
        @property  # type: ignore[override]
        def chance_loss(self) -> float:
            raise ValueError("no chance")

        @chance_loss.setter
        def chance_loss(self, value: float) -> None:
            pass

    record = run_trial(plan(), NoChance(tiny), setup())
    assert record.outcome is Outcome.CRASHED
    assert record.message.startswith("ValueError: no chance (test_run_trial.py:")


def test_a_model_that_raises_in_the_middle_is_a_crash(tiny: RowWorkload) -> None:
    """The record keeps what was seen up to the crash."""
    record = run_trial(plan(), Odd(tiny, raising(ZeroDivisionError("oops"), at_step=4)), setup())
    assert (record.outcome, record.cause, record.steps) == (Outcome.CRASHED, Cause.UNKNOWN, 3)
    assert record.trace.steps == (1, 2, 3)
    assert record.trace.losses == run_trial(plan(), tiny, setup()).trace.losses[:3]
    assert record.effective is not None
    assert record.message.startswith("ZeroDivisionError: oops (test_run_trial.py:")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
)
def test_out_of_memory_has_its_own_name(tiny: RowWorkload, error: Exception) -> None:
    """Memory that ran out proves nothing about stability."""
    record = run_trial(plan(), Odd(tiny, raising(error, at_step=2)), setup())
    assert (record.outcome, record.steps) == (Outcome.OOM, 1)
    assert not record.outcome.is_evidence


def test_an_interrupt_passes(tiny: RowWorkload) -> None:
    """Ctrl-C is not a crash of the trial."""
    with pytest.raises(KeyboardInterrupt):
        run_trial(plan(), Odd(tiny, raising(KeyboardInterrupt())), setup())


def test_rows_that_end_early_are_no_measurement(tiny: RowWorkload) -> None:
    """A trial that did not reach its horizon did not survive it."""

    class TenRows(IterableDataset[dict[str, Any]]):
        def __iter__(self) -> Any:
            return (tiny.rows[i] for i in range(10))

    class EmptiedTrainer(Trainer):
        def training_step(self, *args: Any, **named: Any) -> Any:
            if self.state.global_step == 1:
                self.control.should_training_stop = True
            return super().training_step(*args, **named)

    record = run_trial(plan(), Odd(tiny, EmptiedTrainer), setup())
    assert (record.outcome, record.steps) == (Outcome.CRASHED, 2)
    assert "not at its horizon 6" in record.message
    # a stream is started again, as the Trainer does
    assert run_trial(plan(), Odd(tiny, rows=TenRows()), setup()).outcome is Outcome.STABLE


@pytest.mark.parametrize(
    ("trainer_class", "name"),
    [("UnclippedTrainer", "max_grad_norm"), ("OwnRateTrainer", "peak learning_rate")],
)
@pytest.mark.parametrize("schedule", ["hold", "exact"])
def test_settings_that_were_not_applied_are_no_measurement(
    tiny: RowWorkload, trainer_class: str, name: str, schedule: str
) -> None:
    """A Trainer that ignores the plan gives no evidence about it."""
    record = run_trial(plan(), Odd(tiny, DISOBEDIENT[trainer_class]), setup(schedule=schedule))
    assert (record.outcome, record.cause) == (Outcome.CRASHED, Cause.SETTINGS_NOT_APPLIED)
    assert f"{name}: planned" in record.message


class UnclippedTrainer(Trainer):
    def _clip_grad_norm(self, model: Any) -> Any:
        return self.accelerator.clip_grad_norm_(model.parameters(), 100.0)


class OwnRateTrainer(Trainer):
    def create_optimizer(self, *args: Any) -> Any:
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5)
        return self.optimizer


DISOBEDIENT: dict[str, type[Trainer]] = {
    "UnclippedTrainer": UnclippedTrainer,
    "OwnRateTrainer": OwnRateTrainer,
}


def test_a_rate_that_is_not_held_is_not_the_plan(tiny: RowWorkload) -> None:
    """A Trainer that brings a schedule of its own leaves the peak that was to be held."""

    class DecayingTrainer(Trainer):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            self.lr_scheduler = torch.optim.lr_scheduler.LinearLR(optimizer or self.optimizer, 1.0, 0.5, 10)
            return self.lr_scheduler

    record = run_trial(plan(), Odd(tiny, DecayingTrainer), setup())
    assert record.cause is Cause.SETTINGS_NOT_APPLIED
    assert record.message == "held learning_rate: planned 0.001, effective 0.00075"


def test_a_schedule_without_warmup_is_not_the_plan(tiny: RowWorkload) -> None:
    """``constant`` ignores the warmup: under ``exact`` the trial was not what was planned."""
    constant = setup(schedule="exact", training={"lr_scheduler_type": "constant"})
    record = run_trial(plan(warmup_steps=3), tiny, constant)
    assert record.cause is Cause.SETTINGS_NOT_APPLIED
    assert record.message == "warmup_steps: planned 3, effective 0"


def test_a_used_model_is_noticed(tiny: RowWorkload) -> None:
    """Accelerate prepares a model object once: a second trial on it would keep the first precision."""
    model = tiny.model(0)

    class Reused(Odd):
        def model(self, model_seed: int) -> Any:
            return model

    assert run_trial(plan(horizon=1), Reused(tiny), setup()).outcome is Outcome.STABLE
    second = run_trial(plan(horizon=1, precision="bf16"), Reused(tiny), setup())
    assert second.cause is Cause.SETTINGS_NOT_APPLIED
    assert "autocast dtype: planned bfloat16, effective float32" in second.message


def test_half_precision_weights_are_no_measurement(tiny: RowWorkload) -> None:
    """Weights in pure bf16 are not bf16 autocast."""
    record = run_trial(plan(precision="bf16"), Odd(tiny, change_model=lambda m: m.bfloat16()), setup())
    assert record.cause is Cause.SETTINGS_NOT_APPLIED
    assert "parameter dtype: planned float32, effective bfloat16" in record.message


def test_a_failure_in_the_first_step_is_a_result(tiny: RowWorkload) -> None:
    """Settings that no step has shown yet do not count as not applied."""
    rows = NanLoss(tiny.rows, bad=-1)
    rows.bad = 0
    everywhere = Odd(tiny, WeightedTrainer, rows=[rows[0]] * 8)
    record = run_trial(plan(warmup_steps=2), everywhere, setup())
    assert (record.outcome, record.first_bad_step, record.steps) == (Outcome.DATA_FAULT, 1, 0)


def test_dropout_off_and_arguments_of_the_user(tiny: RowWorkload) -> None:
    """Loader options that a trial has no use for do not break it."""
    training = {
        "dataloader_num_workers": 2,
        "dataloader_prefetch_factor": 2,
        "dataloader_persistent_workers": True,
    }
    record = run_trial(plan(horizon=2), Odd(tiny, change_model=no_dropout), setup(training=training))
    assert record.outcome is Outcome.STABLE, record.message


def test_a_record_survives_its_json(tiny: RowWorkload) -> None:
    """What a trial recorded is what is read back."""
    record = run_trial(plan(horizon=2), tiny, setup())
    assert TrialRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert replace(record, steps=1) != record
