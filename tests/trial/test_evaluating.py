"""A trial that survived is evaluated on held-out rows, and nothing else about it changes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.data import IterableDataset
from trial_samples import plan, setup

from stabsearch.records import Outcome, TrialRecord
from stabsearch.records.ramp import as_ramp
from stabsearch.task.own_code import OwnWorkload
from stabsearch.task.rows import TokenRows
from stabsearch.task.surroundings import Surroundings
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.run import run_trial


def held(tiny: RowWorkload, rows: Any = None) -> RowWorkload:
    return replace(tiny, held_out=tiny.rows if rows is None else rows)


def measured(record: TrialRecord) -> tuple[Any, ...]:
    return (record.outcome, record.steps, record.trace, record.effective, record.initial_weights)


def test_the_loss_is_that_of_the_trained_model_on_these_rows(tiny: RowWorkload) -> None:
    """Dropout is off, and every row counts once."""
    models: list[Any] = []

    class Keeps(RowWorkload):
        def trainer(self, args: Any, model_seed: int) -> Any:
            trainer = super().trainer(args, model_seed)
            models.append(trainer.model)
            return trainer

    workload = Keeps(**vars(held(tiny)))
    record = run_trial(plan(), workload, setup())
    batch = tiny.collator([tiny.rows[row] for row in range(len(tiny.rows))])
    with torch.no_grad():
        wanted = float(models[0].eval()(**batch).loss)
    assert record.eval_loss == pytest.approx(wanted, rel=1e-4)


def test_everything_else_is_what_it_was(tiny: RowWorkload) -> None:
    """Bit for bit: the evaluation comes after all that is measured."""
    plain, evaluated = run_trial(plan(), tiny, setup()), run_trial(plan(), held(tiny), setup())
    assert measured(plain) == measured(evaluated)
    assert math.isnan(plain.eval_loss)
    again = run_trial(plan(), held(tiny), setup())
    assert again.eval_loss == evaluated.eval_loss


def test_trials_that_failed_and_ramps_are_not_evaluated(tiny: RowWorkload) -> None:
    """No run would train so."""
    failed = run_trial(plan(learning_rate=1e6, max_grad_norm=0.0), held(tiny), setup())
    assert failed.outcome.is_failure
    assert math.isnan(failed.eval_loss)
    ramp = run_trial(as_ramp(plan(), 1e-5, 1e-3), held(tiny), setup())
    assert ramp.outcome is Outcome.STABLE
    assert math.isnan(ramp.eval_loss)


class Broken(TokenRows):
    def __getitem__(self, index: int) -> dict[str, Any]:
        raise KeyError("no such row")


def test_an_evaluation_that_fails_takes_nothing_away(tiny: RowWorkload) -> None:
    """The trial is what it was, and says so."""
    record = run_trial(plan(), held(tiny, Broken(tiny.rows.columns)), setup())
    assert record.outcome is Outcome.STABLE
    assert math.isnan(record.eval_loss)
    assert "finite for 6 steps; it could not be evaluated: KeyError: " in record.message


def test_a_record_keeps_it(tiny: RowWorkload) -> None:
    record = run_trial(plan(), held(tiny), setup())
    assert TrialRecord.from_json(record.to_json()) == record
    old = record.to_json()
    del old["eval_loss"]
    assert math.isnan(TrialRecord.from_json({**old, "version": 4}).eval_loss)


class Endless(IterableDataset[dict[str, Any]]):
    def __init__(self, rows: TokenRows) -> None:
        self.rows = rows

    def __iter__(self) -> Any:
        number = 0
        while True:
            yield self.rows[number % len(self.rows)]
            number += 1


@pytest.mark.parametrize("kind", ["rows", "datasets", "stream", "several"])
def test_the_users_trainer_has_rows_of_its_own(tiny: RowWorkload, kind: str) -> None:
    """As many of the first as were asked for, whatever kind of data set they are in; none unless asked."""
    from datasets import Dataset

    listed = [tiny.rows[row] for row in range(20)]
    kinds: dict[str, Any] = {
        "rows": tiny.rows,
        "datasets": Dataset.from_list(listed),
        "stream": Endless(tiny.rows),
        "several": {"first": tiny.rows, "second": tiny.rows},
    }

    def make(args: Any) -> Any:
        trainer = tiny.trainer(args, args.seed)
        trainer.eval_dataset = kinds[kind]
        trainer.compute_metrics = lambda _: 1 / 0
        return trainer

    def loss(eval_rows: int) -> TrialRecord:
        here = Surroundings(".", ".", ("task",))
        return run_trial(plan(), OwnWorkload(make, here, ("task",), None, eval_rows), setup())

    few = run_trial(
        plan(), held(tiny, TokenRows({k: _first(v, 8) for k, v in tiny.rows.columns.items()})), setup()
    )
    record = loss(8)
    assert record.eval_loss == pytest.approx(few.eval_loss), record.message
    unasked = loss(0)
    assert math.isnan(unasked.eval_loss)
    assert unasked.message == "finite for 6 steps"


def _first(column: Any, number: int) -> Any:
    from stabsearch.task.rows import Ragged

    return (
        Ragged.of([column[row] for row in range(number)]) if isinstance(column, Ragged) else column[:number]
    )
