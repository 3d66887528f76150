"""``stabsearch diagnose`` and ``stabsearch check`` as a user meets them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from word_tokenizer import word_tokenizer

Command = Callable[..., Any]
SweepFile = Callable[..., Path]
HOT = {"learning_rate": {"low": 1e18, "high": 1e20}, "warmup": [0], "precision": ["fp32"]}


def test_a_sound_sweep_that_never_ran(stabsearch: Command, sweep_file: SweepFile) -> None:
    """The canary is run here and now; nothing is wrong, and nothing is left behind."""
    path = sweep_file()
    said = stabsearch("diagnose", path)
    assert said.code == 0
    assert said.out.startswith("cause: none\nNothing is wrong")
    assert not (path.parent / "runs").exists()


def test_a_sweep_that_found_nothing_safe(stabsearch: Command, sweep_file: SweepFile) -> None:
    """Run says why; diagnose says the same again, and names the bundle to replay."""
    path = sweep_file(search=HOT)
    run = stabsearch("run", path, "--quiet")
    assert run.code == 1
    assert "cause: learning_rate" in run.out
    said = stabsearch("diagnose", path)
    assert (said.code, "cause: learning_rate" in said.out) == (1, True)
    assert "stabsearch replay" in said.out
    assert "'loss': 0.0, 'grad_norm': nan" in said.out.replace("\n", " ")


def test_json_is_one_strict_object(stabsearch: Command, sweep_file: SweepFile) -> None:
    """Cause, advice and evidence for programs; no NaN in it."""
    said = stabsearch("diagnose", sweep_file(search=HOT), "--json", "--set", "budget.horizon=4")
    data = json.loads(said.out, parse_constant=pytest.fail)
    assert (data["cause"], data["exit_code"], said.code) == (None, 0, 0)  # the canary is gentle
    assert {each["rung"] for each in data["evidence"]} == {"preflight", "first batch", "trial"}


def test_labels_that_count_from_one(stabsearch: Command, sweep_file: SweepFile, tmp_path: Path) -> None:
    """Check, run and diagnose refuse them alike: exit 1, with the rule that is broken."""
    data = tmp_path / "train.tsv"
    rows = "".join(f"word{i % 7} word{i % 5}\t{1 + i % 2}\n" for i in range(64))
    data.write_text("text\tlabel\n" + rows, encoding="utf-8")
    tokenizer = word_tokenizer(tmp_path / "tokenizer", [f"word{i}" for i in range(7)])
    task = {"type": "sequence-classification", "data": {"train": str(data)}, "tokenizer": tokenizer,
            "model": {"config": {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1,
                                 "num_attention_heads": 2, "intermediate_size": 16}}}  # fmt: skip
    path = sweep_file(task=task)
    check, run, diagnosis = (stabsearch(command, path) for command in ("check", "run", "diagnose"))
    assert [check.code, run.code, diagnosis.code] == [1, 1, 1]
    rule = next(word for word in check.out.split() if word.startswith("STAB-D")).strip(":")
    assert rule in run.err
    assert rule in diagnosis.out
    assert diagnosis.out.startswith("cause: data")


def test_check_runs_the_canary(stabsearch: Command, sweep_file: SweepFile) -> None:
    """A sound sweep: the canary's line, exit 0, and no folder."""
    path = sweep_file()
    said = stabsearch("check", path)
    assert said.code == 0
    assert "canary: fp32 · warmup 0 · clip 1, learning rate 2e-05, 8 steps: finite for 8 steps" in said.out
    assert not (path.parent / "runs").exists()


def test_check_with_a_canary_that_breaks(
    stabsearch: Command, sweep_file: SweepFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The baseline itself fails: a verdict against, and the command that says why."""
    monkeypatch.setattr("stabsearch.search.canary.BASELINE_LEARNING_RATE", 1e20)
    path = sweep_file(search=HOT)
    said = stabsearch("check", path)
    assert said.code == 1
    assert "nonfinite: loss is nan at optimizer step 2" in said.out
    assert said.out.rstrip().endswith(f"stabsearch diagnose {path}")
    data = json.loads(stabsearch("check", path, "--json").out)
    assert (data["canary"]["outcome"], data["canary"]["cause"]) == ("nonfinite", "learning_rate")
    assert not (path.parent / "runs").exists()


def test_a_sweep_that_was_edited_since(stabsearch: Command, sweep_file: SweepFile) -> None:
    """Its trials ran on another model: refused in two lines, as run refuses it."""
    path = sweep_file(search=HOT)
    stabsearch("run", path, "--quiet")
    said = stabsearch("diagnose", path, "--set", "task.hidden_size=32")
    assert said.code == 2
    assert "holds a different sweep: task.hidden_size" in said.err


def test_a_sweep_for_a_gpu_is_diagnosed_where_there_is_none(
    stabsearch: Command, sweep_file: SweepFile
) -> None:
    """The ladder climbs on the CPU."""
    path = sweep_file(resources={"driver": "inline", "gpus_per_trial": 1})
    assert stabsearch("diagnose", path).code == 0
