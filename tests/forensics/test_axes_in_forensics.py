"""Trials that search more than precision, warmup and clip norm, under preflight and ladder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from forensic_cases import case

from stabsearch.config import Sweep
from stabsearch.forensics.cures import OPTIMIZER_FIELDS, cures, is_odd
from stabsearch.forensics.ladder import diagnose
from stabsearch.forensics.preflight import preflight
from stabsearch.records import Cause, Outcome
from stabsearch.records.hyperparameters import FURTHER
from stabsearch.trial.arguments import trial_arguments
from stabsearch.trial.run import run_trial


def test_a_cure_of_the_optimizer_takes_back_what_was_searched_of_it() -> None:
    """Or the "default" optimizer would have the values that are suspected."""
    subject = case(
        training={"optim": "adamw_torch"}, adam_beta2=0.5, weight_decay=3.0, gradient_accumulation_steps=2
    )
    found = {
        cure.name: cure
        for cure in cures(subject.workload, subject.plan, subject.setup, (), has_odd_optimizer=True)
    }
    for name in ("optimizer", "optimizer options"):
        plan = found[name].plan
        assert (plan.adam_beta2, plan.weight_decay) == (None, None)
        assert plan.gradient_accumulation_steps == 2
        record = run_trial(plan, found[name].workload, found[name].setup)
        assert record.outcome is Outcome.STABLE, record.message
        assert record.effective is not None
        assert (record.effective.betas, record.effective.weight_decay) == ((0.9, 0.999), 0.0)
    assert found["learning rate"].plan.adam_beta2 == 0.5


def test_a_searched_value_makes_an_optimizer_odd() -> None:
    """As one of the section training does; a usual one does not."""
    subject = case()
    trainer = subject.workload.trainer(trial_arguments(subject.plan, subject.setup, "unused"), 1)
    usual = {row.name: row.usual for row in FURTHER if row.part == "optimizer"}
    assert not is_odd(trainer, subject.setup.training_of(replace(subject.plan, **usual)))
    for name in usual:
        odd = replace(subject.plan, **{name: 0.5})
        assert is_odd(trainer, subject.setup.training_of(odd))
    assert usual.keys() <= OPTIMIZER_FIELDS


def test_the_ladder_names_a_searched_optimizer_setting() -> None:
    """Neither rate nor clip norm help: the usual betas do."""
    found = diagnose(case(training={"optim": "adamw_torch"}, weight_decay=1e12, horizon=8), findings=())
    assert found.cause is Cause.OPTIMIZER_SETTINGS, found.to_json()


def sweep_of(**search: Any) -> Sweep:
    return Sweep.model_validate(
        {
            "name": "s", "task": {"type": "quickstart", "num_rows": 64, "hidden_size": 16},
            "training": {"max_steps": 50, "dataloader_drop_last": True},
            "search": {"precision": ["fp32"], **search}, "tracking": {"uri": "none"},
        }
    )  # fmt: skip


def test_the_preflight_looks_at_the_largest_batch() -> None:
    """Of 64 rows none is left of a batch of 65."""
    rules = {finding.rule for finding in preflight(sweep_of(per_device_train_batch_size=[4, 65])).findings}
    assert "STAB-D004" in rules
    rules = {finding.rule for finding in preflight(sweep_of(per_device_train_batch_size=[4, 64])).findings}
    assert "STAB-D004" not in rules


def test_the_preflight_sees_the_values_that_the_canary_has() -> None:
    """An epsilon that is too large for anything is warned of, also where it is searched."""
    rules = {finding.rule for finding in preflight(sweep_of(adam_epsilon=[0.5, 0.9])).findings}
    assert "STAB-O003" in rules
