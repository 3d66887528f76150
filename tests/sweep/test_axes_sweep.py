"""A real sweep over further axes, from its file to the arguments of the full run."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from transformers import HfArgumentParser, TrainingArguments

import stabsearch
from stabsearch.frontier import Frontier, fit
from stabsearch.records import Outcome, Stage
from stabsearch.sweep.beforehand import hints_of_earlier
from stabsearch.sweep.prepared import prepare
from stabsearch.sweep.reading import read_sweep
from stabsearch.sweep.result import SweepResult

SWEEP = """\
name: axes
output_dir: {folder}/runs
task: {{type: quickstart, hidden_size: 16, num_hidden_layers: 1, num_rows: 128}}
training: {{max_steps: 60}}
search:
  learning_rate: {{low: 1.0e-4, high: 3.0}}
  warmup: [0]
  precision: [fp32]
  adam_beta2: [0.999, 0.9]
  per_device_train_batch_size: [4, 12]
budget: {{trials: 30, horizon: 16}}
risk: {{confirmation_trials: 2}}
resources: {{driver: inline}}
tracking: {{uri: none}}
"""
CONTEXTS = {(beta, rows) for beta in (0.999, 0.9) for rows in (4, 12)}
NAMES = ("adam_beta2", "per_device_train_batch_size")
LABELS = {f"b2 {beta} · batch {rows}" for beta, rows in CONTEXTS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the sweep lies."""
    path: Path = tmp_path_factory.mktemp("axes")
    (path / "sweep.yaml").write_text(SWEEP.format(folder=path))
    return path


@pytest.fixture(scope="module")
def result(folder: Path) -> SweepResult:
    """Return the sweep, run."""
    return stabsearch.run_sweep(folder / "sweep.yaml")


def test_it_ends_in_arguments_of_the_full_run_that_carry_the_values(
    result: SweepResult, folder: Path
) -> None:
    """``recommended.json`` loads, and names a context of the sweep."""
    path = folder / "runs" / "axes" / "recommended.json"
    (arguments,) = HfArgumentParser((TrainingArguments,)).parse_json_file(str(path))
    assert (arguments.adam_beta2, arguments.per_device_train_batch_size) in CONTEXTS
    assert arguments.learning_rate == result.answer.recommendation.learning_rate  # type: ignore[union-attr]
    assert json.loads(path.read_text())["per_device_train_batch_size"] in {4, 12}


def test_every_trial_ran_with_its_values(result: SweepResult) -> None:
    """As read back from its live Trainer."""
    records = result.findings.records
    assert {record.outcome for record in records} <= {outcome for outcome in Outcome if outcome.is_evidence}
    for record in records:
        assert record.effective is not None
        assert record.effective.adam_beta2 == record.plan.adam_beta2
        assert record.effective.batch_rows == record.plan.per_device_train_batch_size
    searched = [record.plan for record in records if record.plan.stage is Stage.SEARCH]
    assert {(plan.adam_beta2, plan.per_device_train_batch_size) for plan in searched} == CONTEXTS


def test_the_canary_was_gentle(result: SweepResult) -> None:
    """Adam's usual memory, the largest batch."""
    canary = result.findings.records[0].plan
    assert (canary.stage, canary.adam_beta2, canary.per_device_train_batch_size) == (Stage.CANARY, 0.999, 12)


def test_the_table_of_trials_gives_the_same_frontier_again(result: SweepResult, folder: Path) -> None:
    """``fit`` on ``trials.csv`` tells the contexts apart by their values."""
    trials = pd.read_csv(folder / "runs" / "axes" / "trials.csv", float_precision="round_trip")
    again = fit(trials, learning_rate_range=(1e-4, 3.0))
    assert {row.context.label_of(NAMES) for row in again.rows} == LABELS
    pd.testing.assert_frame_equal(again.table, result.frontier)


def test_a_report_from_the_study_says_the_same(result: SweepResult, folder: Path) -> None:
    """Needs neither the data nor the machine."""
    read = read_sweep(folder / "runs" / "axes")
    assert read.findings.frontier == result.findings.frontier
    assert read.answer == result.answer


def test_the_same_command_goes_on_with_it(result: SweepResult, folder: Path) -> None:
    """And has nothing left to do."""
    assert stabsearch.run_sweep(folder / "sweep.yaml").trials.equals(result.trials)


def test_a_later_sweep_learns_from_its_folder(result: SweepResult, folder: Path) -> None:
    """As from its frontier.json, which holds the answer too."""
    hints = hints_of_earlier(str(folder / "runs" / "axes"))
    assert hints == hints_of_earlier(str(folder / "runs" / "axes" / "frontier.json"))
    assert {hint.context.label_of(NAMES) for hint in hints if hint.context} <= LABELS
    assert len(hints) >= 1
    content = json.loads((folder / "runs" / "axes" / "frontier.json").read_text())
    assert Frontier.from_json(content["frontier"]) == result.findings.frontier


def test_a_budget_that_cannot_cover_the_contexts_is_said_beforehand(folder: Path) -> None:
    """As a caveat: what has no trials has no frontier."""
    few = prepare(folder / "sweep.yaml", ["name=few", "budget.trials=6", "risk.confirmation_trials=0"])
    assert any("4 contexts share 6 trials of the search" in caveat for caveat in few.caveats)
    assert few.terms.caveats == few.caveats
    enough = prepare(folder / "sweep.yaml", ["name=enough", "budget.trials=40"])
    assert not any("contexts share" in caveat for caveat in enough.caveats)
