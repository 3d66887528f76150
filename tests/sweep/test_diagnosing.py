"""A sweep that finds nothing safe says why; a fault of the data stops it with its rows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from stabsearch.capture.bundle import read_bundle
from stabsearch.config import QuickstartTask, Sweep
from stabsearch.errors import ExitCode
from stabsearch.frontier.answer import Verdict
from stabsearch.records import Cause, Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.report.views import QuietView
from stabsearch.sweep import read_sweep, run_sweep
from stabsearch.sweep.diagnosing import worst_trial
from stabsearch.task import registry
from stabsearch.task.quickstart import build as build_quickstart
from stabsearch.task.workload import RowWorkload
from stabsearch.testing.records import record_of

POISONED = 11


class PoisonTrainer(Trainer):
    """A loss that is NaN for one text, which no look at columns can tell."""

    poison: torch.Tensor

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **named: Any) -> Any:
        loss = super().compute_loss(model, inputs, **named)
        ids = inputs["input_ids"]
        width = min(len(self.poison), ids.shape[1])
        is_hit = (ids[:, :width] == self.poison[:width]).all(1).any()
        return loss * (float("nan") if is_hit else 1.0)


class Poisoned(RowWorkload):
    """The quickstart's rows, one of them poisoned."""

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        trainer = PoisonTrainer(
            model=self.model(model_seed),
            args=args,
            train_dataset=self.rows,
            data_collator=DataCollatorWithPadding(self.tokenizer),
        )
        trainer.poison = torch.tensor(self.rows[POISONED]["input_ids"])
        return trainer


def build_poisoned(task: QuickstartTask, table: Any = None) -> Poisoned:
    sound = build_quickstart(task)
    return Poisoned(**vars(sound))


def tiny(tmp_path: Path, **parts: Any) -> Sweep:
    base: dict[str, Any] = {
        "name": "tiny",
        "output_dir": str(tmp_path / "runs"),
        "task": {"type": "quickstart", "num_rows": 64, "hidden_size": 16, "num_hidden_layers": 1},
        "training": {"max_steps": 60, "per_device_train_batch_size": 4},
        "search": {"learning_rate": {"low": 1e-4, "high": 1.0}, "warmup": [0], "precision": ["fp32"]},
        "budget": {"trials": 8, "horizon": 16},
        "tracking": {"uri": "none"},
        "resources": {"driver": "inline"},
    }
    return Sweep.model_validate({**base, **parts})


class NotedView(QuietView):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def test_a_fault_of_the_data_stops_the_sweep_with_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial that meets the row ends the sweep: exit 1, row named, batch kept, cause proved."""
    monkeypatch.setitem(registry.BUILDERS, "quickstart", build_poisoned)
    monkeypatch.setattr("stabsearch.driver.worker._warm", {})  # a workload of an earlier test may be warm
    result = run_sweep(tiny(tmp_path))
    assert (result.answer.verdict, result.exit_code) == (Verdict.DATA_FAULT, ExitCode.AGAINST)
    assert result.diagnosis is not None
    assert (result.diagnosis["cause"], result.diagnosis["rows"]) == ("data", [POISONED])
    last = result.findings.records[-1]
    assert (last.outcome, last.suspect_rows) == (Outcome.DATA_FAULT, (POISONED,))
    kept = read_bundle(result.folder / "bad_batches" / last.bundle).manifest
    assert POISONED in (kept.window[-1].rows or ())
    assert kept.suspects.rows == (POISONED,)
    assert json.loads((result.folder / "diagnosis.json").read_text())["cause"] == "data"
    assert f"row {POISONED}" in (result.folder / "report.md").read_text()
    assert "Why</h2>" in (result.folder / "report.html").read_text()


def test_nothing_stable_is_explained_once(tmp_path: Path) -> None:
    """The ladder is climbed at the end, and not again when the finished sweep is run or read once more."""
    view = NotedView()
    hot = tiny(tmp_path, search=HOT)
    result = run_sweep(hot, view_for=lambda *_: view)
    assert result.answer.verdict is Verdict.NOTHING_SAFE
    assert result.diagnosis is not None
    assert result.diagnosis["cause"] == "learning_rate"
    assert "looking for the cause: the debugging ladder" in view.said
    view.said.clear()
    assert run_sweep(hot, view_for=lambda *_: view).diagnosis == result.diagnosis
    assert view.said == []
    assert read_sweep(result.folder).diagnosis == result.diagnosis
    bundles = {record.bundle for record in result.findings.records if record.outcome is Outcome.NONFINITE}
    assert len(bundles) == 1  # five failures of one kind, one bundle


def test_no_bundles_by_request(tmp_path: Path) -> None:
    """A budget of nothing keeps nothing, and the sweep is explained all the same."""
    result = run_sweep(tiny(tmp_path, search=HOT, bad_batches={"max_gib": 0}))
    assert not (result.folder / "bad_batches").exists()
    assert result.diagnosis is not None
    assert result.diagnosis["cause"] == "learning_rate"


def plan(number: int, rate: float, stage: Stage = Stage.SEARCH) -> TrialPlan:
    return TrialPlan(number, stage, rate, 0, 1.0, "fp32", number, 0, horizon=12)


def failed(number: int, rate: float, outcome: Outcome = Outcome.NONFINITE, **changes: Any) -> TrialRecord:
    return replace(record_of(plan(number, rate), outcome), **changes)


def test_the_trial_that_needs_an_explanation_most() -> None:
    """A fault first, then the canary, then the failure at the lowest rate whose batch is kept."""
    fault = failed(5, 1.0, Outcome.DATA_FAULT)
    canary = replace(record_of(plan(0, 2e-5, Stage.CANARY), Outcome.DIVERGED))
    low, kept, high = failed(2, 1e-3), failed(3, 1e-3, bundle="0003"), failed(4, 1e-2, bundle="0004")
    sound = record_of(plan(1, 1e-4))
    assert worst_trial([sound, high, low, kept, canary, fault]) is fault
    assert worst_trial([sound, high, low, kept, canary]) is canary
    assert worst_trial([sound, high, low, kept]) is kept
    assert worst_trial([sound]) is None


def test_a_machine_that_answers_differently_needs_one_too() -> None:
    """It is a crash for the frontier, and something to look at."""
    flipped = failed(1, 1e-3, Outcome.CRASHED, cause=Cause.HARDWARE_OR_NONDETERMINISM)
    crashed = failed(2, 1e-4, Outcome.CRASHED)
    assert worst_trial([crashed, flipped]) is flipped


def test_ramps_need_no_explanation() -> None:
    """They are meant to break."""
    ramp = failed(1, 1.0)
    ramp = replace(ramp, plan=replace(ramp.plan, stage=Stage.RAMP, ramp_from=1e-5))
    assert worst_trial([ramp]) is None


HOT = {"learning_rate": {"low": 1e18, "high": 1e20}, "warmup": [0], "precision": ["fp32"]}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no room")])
def test_the_answer_stands_without_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Whatever ends the ladder, all reports have been written before it; Ctrl-C still interrupts."""

    def breaks(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("stabsearch.sweep.running.explain", breaks)
    view = NotedView()
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            run_sweep(tiny(tmp_path, search=HOT), view_for=lambda *_: view)
    else:
        assert run_sweep(tiny(tmp_path, search=HOT), view_for=lambda *_: view).diagnosis is None
        assert "no cause could be looked for: RuntimeError: no room" in view.said
    assert {"trials.csv", "report.html", "frontier.json"} <= {
        p.name for p in (tmp_path / "runs/tiny").iterdir()
    }
