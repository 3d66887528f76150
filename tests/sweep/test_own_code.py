"""Whole sweeps through training code of the user's own: a factory, and a script as it is."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from own_code_samples import MAIN, module, script

from stabsearch import run_sweep
from stabsearch.capture.bundle import read_bundle
from stabsearch.config import load_sweep
from stabsearch.errors import ExitCode, UserError
from stabsearch.forensics.replay import Options, Verdict, replay
from stabsearch.records import Cause
from stabsearch.sweep.diagnosing import diagnose_sweep
from stabsearch.sweep.prepared import checked


def sweep_file(folder: Path, task: dict[str, Any], driver: str = "inline") -> Path:
    """Write a tiny sweep beside the user's code."""
    sweep = {
        "name": "own", "output_dir": str(folder / "runs"), "task": task,
        "training": {"max_steps": 60, "per_device_train_batch_size": 4},
        "search": {"learning_rate": {"low": 1e-4, "high": 1e3}, "warmup": [0], "precision": ["fp32"]},
        "budget": {"trials": 6, "horizon": 12, "concurrency": 1}, "risk": {"confirmation_trials": 0},
        "resources": {"driver": driver}, "tracking": {"uri": "none"},
    }  # fmt: skip
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep))
    return path


def factory_task(folder: Path, name: str) -> dict[str, Any]:
    module(folder, name)
    return {"type": "trainer", "factory": f"{name}:make_trainer"}


def script_task(folder: Path) -> dict[str, Any]:
    script(folder)
    return {"type": "script", "path": "train.py", "args": {"kind": "other"}}


@pytest.mark.parametrize("kind", ["trainer", "script"])
@pytest.mark.parametrize("driver", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
def test_a_sweep_through_it_ends_in_an_answer(tmp_path: Path, kind: str, driver: str) -> None:
    """The user's code is found from the sweep's folder, by workers too; every trial is a measurement."""
    name = f"users_sweep_{driver}"
    task = factory_task(tmp_path, name) if kind == "trainer" else script_task(tmp_path)
    result = run_sweep(sweep_file(tmp_path, task, driver))
    outcomes = Counter(result.trials["outcome"])
    assert sum(outcomes.values()) == 6
    assert set(outcomes) <= {"stable", "collapsed", "diverged", "nonfinite"}
    assert len(outcomes) > 1
    assert not (tmp_path / "trained.txt").exists()
    recommended = tmp_path / "runs" / "own" / "recommended.json"
    assert "learning_rate" in json.loads(recommended.read_text())


IGNORES = """
import dataclasses
def make_trainer(args):
    return Trainer(model=model(), args=dataclasses.replace(args, max_grad_norm=9.0), train_dataset=rows())
"""


def test_a_factory_that_ignores_its_arguments_is_found_out_before_the_sweep(tmp_path: Path) -> None:
    """``check`` and ``run`` name the argument; nothing is spent."""
    module(tmp_path, "users_deaf", IGNORES)
    path = sweep_file(tmp_path, {"type": "trainer", "factory": "users_deaf:make_trainer"})
    with pytest.raises(UserError, match=r"max_grad_norm: planned 1\.0, effective 9\.0") as raised:
        checked(load_sweep(path))
    assert raised.value.key == ("task",)


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    """The path is named, with what lies near it."""
    script(tmp_path)
    path = sweep_file(tmp_path, {"type": "script", "path": "trian.py"})
    with pytest.raises(UserError, match=r"no such script: 'trian\.py'") as raised:
        load_sweep(path)
    assert "did you mean 'train.py'?" in str(raised.value)


def test_weights_that_no_seed_decides_are_found_out_before_the_sweep(tmp_path: Path) -> None:
    """A trial could not be repeated; nothing is spent."""
    code = """
    def make_trainer(args):
        mine, generator = model(), torch.Generator()
        generator.seed()
        mine.classifier.weight.data.normal_(generator=generator)
        return Trainer(model=mine, args=args, train_dataset=rows())
    """
    module(tmp_path, "users_unseeded", code)
    path = sweep_file(tmp_path, {"type": "trainer", "factory": "users_unseeded:make_trainer"})
    with pytest.raises(UserError, match="first weights are not the same each time"):
        checked(load_sweep(path))


@pytest.mark.parametrize(("given", "known"), [({}, math.log(2)), ({"chance_loss": 0.5}, 0.5)])
def test_the_chance_loss_is_found_out_once_for_all_trials(
    tmp_path: Path, given: dict[str, float], known: float
) -> None:
    """Before the first trial, from labels and loss; what the user says counts first."""
    task = {**factory_task(tmp_path, "users_chance"), **given}
    result = run_sweep(sweep_file(tmp_path, task))
    assert result.trials["chance_loss"].tolist() == pytest.approx([known] * 6)


STREAM = """
class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        while True:
            yield from rows()
def make_trainer(args):
    return Trainer(model=model(), args=args, train_dataset=Stream())
"""


def test_a_sweep_whose_chance_loss_nobody_knows(tmp_path: Path) -> None:
    """A stream tells nothing beforehand; trials are judged by each other, and the report is written."""
    module(tmp_path, "users_stream", STREAM)
    result = run_sweep(sweep_file(tmp_path, {"type": "trainer", "factory": "users_stream:make_trainer"}))
    assert result.trials["chance_loss"].isna().all()
    assert {"stable", "collapsed"} <= set(result.trials["outcome"])
    assert (result.folder / "report.html").exists()


RAISES_ONCE = """
from pathlib import Path
def make_trainer(args):
    if args.learning_rate > 0.1 and not Path("raised").exists():
        Path("raised").touch()
        raise OSError("disk on fire")
    return Trainer(model=model(), args=args, train_dataset=rows())
"""


def test_a_trial_whose_code_raises_leaves_the_others_alone(tmp_path: Path) -> None:
    """It proves nothing, and says what was raised and where."""
    module(tmp_path, "users_raising", RAISES_ONCE)
    result = run_sweep(sweep_file(tmp_path, {"type": "trainer", "factory": "users_raising:make_trainer"}))
    crashed = result.trials[result.trials["outcome"] == "crashed"]
    assert "raised OSError: disk on fire" in crashed["message"].item()
    assert len(result.trials) == 6


POISONED = """
class Mine(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **named):
        loss = super().compute_loss(model, inputs, **named)
        is_hit = (inputs["input_ids"] == rows()[7]["input_ids"].to(loss.device)).all(1).any()
        return loss * (float("nan") if is_hit else 1.0)
"""


def test_a_row_that_breaks_a_script_is_named_and_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ladder works on the script; a replay finds the script's classes where they can be imported."""
    script(tmp_path, code=POISONED + MAIN.replace("Trainer(model", "Mine(model"))
    path = sweep_file(tmp_path, {"type": "script", "path": "train.py"})
    result = run_sweep(path)
    assert result.exit_code is ExitCode.AGAINST
    why = diagnose_sweep(path)
    assert (why.cause, why.rows) == (Cause.DATA, (7,))
    bundle = read_bundle(next((result.folder / "bad_batches").iterdir()))
    with pytest.raises(UserError, match="Mine of train is not importable here") as raised:
        replay(bundle, Options(trust_code=True))
    assert "PYTHONPATH" in raised.value.hint
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "train", raising=False)
    assert replay(bundle, Options(trust_code=True)).verdict is Verdict.BIT_EXACT


EXAMPLES = Path(__file__).parents[2] / "experiments" / "own_code"


def test_a_sweep_through_an_sft_trainer_ends_in_an_answer(tmp_path: Path) -> None:
    """TRL's Trainer, whose arguments are a class of its own, is measured with those of each trial."""
    task = {"type": "trainer", "factory": "sft:make_trainer", "folder": str(EXAMPLES)}
    result = run_sweep(sweep_file(tmp_path, task))
    trials = result.trials
    assert set(trials["outcome"]) <= {"stable", "collapsed", "diverged", "nonfinite"}, trials["message"]
    assert set(trials["outcome"]) - {"stable"}
    stable = trials[trials["outcome"] == "stable"]
    assert stable["learning_rate"].nunique() > 1
    assert (stable["steps"] == stable["horizon"]).all()
    assert math.isfinite(trials["chance_loss"].iloc[0])


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_nothing_speaks_against_starting_an_example(path: Path) -> None:
    """They are found beside their sweep, from wherever it is started; the loss they begin with is known."""
    prepared = checked(load_sweep(path))
    assert [finding.rule for finding in prepared.findings if finding.severity.value != "info"] == []
    assert prepared.chance_loss is not None
