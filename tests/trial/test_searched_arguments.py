"""Every hyperparameter of the table reaches a real Trainer, is read back, and is missed where it does not."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainingArguments
from trial_samples import Odd, build_tiny, plan, setup

from stabsearch.records import Cause, Outcome
from stabsearch.records.hyperparameters import FURTHER, HYPERPARAMETERS, IN_CONTEXT, Hyperparameter
from stabsearch.trial.arguments import trial_arguments
from stabsearch.trial.run import run_trial

SEARCHED = {
    "weight_decay": 0.3,
    "adam_beta1": 0.7,
    "adam_beta2": 0.97,
    "adam_epsilon": 3e-5,
    "per_device_train_batch_size": 3,
    "gradient_accumulation_steps": 2,
}
further_row = pytest.mark.parametrize("row", FURTHER, ids=lambda row: row.name)


def test_the_table_speaks_of_fields_and_defaults_of_transformers() -> None:
    """The installed one."""
    fields = {field.name: field for field in dataclasses.fields(TrainingArguments)}
    for row in HYPERPARAMETERS.values():
        known = [name for name in row.arguments if name in fields]
        assert known, row.name
        assert row.name == "precision" or fields[row.name].default == row.usual


@further_row
def test_what_is_searched_reaches_a_real_trainer_and_is_read_back(row: Hyperparameter) -> None:
    """In place of what the section training says, and of Transformers' default."""
    value = SEARCHED[row.name]
    fixed = setup(training={row.name: row.examples[0]})
    assert getattr(trial_arguments(plan(**{row.name: value}), fixed, "out"), row.name) == value
    record = run_trial(plan(**{row.name: value}), build_tiny(), fixed)
    assert record.outcome is Outcome.STABLE, record.message
    assert record.effective is not None
    assert getattr(record.effective, row.effective) == value


def test_all_of_them_at_once() -> None:
    """One trial may search everything."""
    record = run_trial(plan(**SEARCHED), build_tiny(), setup())
    assert record.outcome is Outcome.STABLE, record.message
    assert record.effective is not None
    assert record.effective.betas == (0.7, 0.97)
    assert (record.effective.batch_rows, record.effective.gradient_accumulation_steps) == (3, 2)


@pytest.mark.parametrize("row", [*IN_CONTEXT, HYPERPARAMETERS["learning_rate"]], ids=lambda row: row.name)
def test_every_row_of_the_table_is_confirmed_by_a_trial(row: Hyperparameter) -> None:
    """What the record calls effective is a number or name that the live trainer gave."""
    record = run_trial(plan(**SEARCHED), build_tiny(), setup())
    shown = getattr(record.effective, row.effective)
    assert shown is not None
    assert not (isinstance(shown, float) and math.isnan(shown))


class Stubborn(Trainer):
    """A user's Trainer that makes optimizer and batches as it likes, whatever it is told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.args.gradient_accumulation_steps = 1

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        rate = self.args.learning_rate
        self.optimizer = torch.optim.AdamW(self.model.parameters(), rate, (0.9, 0.999), 1e-8, 0.01)
        return self.optimizer

    def get_train_dataloader(self) -> Any:
        data: Any = self.train_dataset
        loader: Any = torch.utils.data.DataLoader(data, batch_size=4, collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)


@further_row
def test_a_trainer_that_ignores_one_is_no_measurement_and_the_message_names_it(row: Hyperparameter) -> None:
    """Searched in vain: every context would be the same."""
    value = SEARCHED[row.name]
    record = run_trial(plan(**{row.name: value}), Odd(build_tiny(), Stubborn), setup())
    assert (record.outcome, record.cause) == (Outcome.CRASHED, Cause.SETTINGS_NOT_APPLIED)
    assert f"{row.name}: planned {value}, effective" in record.message


@further_row
def test_what_the_sweep_fixes_and_a_trainer_ignores_is_named_too(row: Hyperparameter) -> None:
    """The full run would not be the one that was asked for."""
    record = run_trial(plan(), Odd(build_tiny(), Stubborn), setup(training={row.name: SEARCHED[row.name]}))
    assert record.cause is Cause.SETTINGS_NOT_APPLIED
    assert row.name in record.message


def test_a_trainer_of_the_users_own_may_do_what_nobody_asked_about() -> None:
    """Its own weight decay, where the sweep says nothing of it."""
    record = run_trial(plan(), Odd(build_tiny(), Stubborn), setup())
    assert record.outcome is Outcome.STABLE, record.message
    assert record.effective is not None
    assert record.effective.weight_decay == 0.01


@pytest.mark.parametrize(
    "optimizer", ["adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop"]
)
def test_the_table_knows_what_transformers_hands_each_optimizer(optimizer: str) -> None:
    """A value that differs from the default shows in the live optimizer, unless the table says it cannot."""
    for row in FURTHER:
        if row.part != "optimizer":
            continue
        training = {"optim": optimizer, row.name: SEARCHED[row.name]}
        record = run_trial(plan(learning_rate=1e-5), build_tiny(), setup(training=training))
        assert record.outcome is Outcome.STABLE, record.message
        assert record.effective is not None
        is_applied = getattr(record.effective, row.effective) == SEARCHED[row.name]
        assert is_applied == (optimizer not in row.lacking), (optimizer, row.name)


def test_an_optimizer_without_betas_takes_a_sweep_that_names_them() -> None:
    """Fixed ones harm nobody; searched ones would be searched in vain."""
    training = {"optim": "sgd", "adam_beta2": 0.97}
    assert run_trial(plan(), build_tiny(), setup(training=training)).outcome is Outcome.STABLE
    record = run_trial(plan(adam_beta2=0.97), build_tiny(), setup(training={"optim": "sgd"}))
    assert record.cause is Cause.SETTINGS_NOT_APPLIED
    assert "adam_beta2: planned 0.97, effective nan" in record.message
