"""A training configuration read against what a sweep covered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from gate_samples import LIKE_THE_SWEEP, make_sweep, write_folder

from stabsearch.errors import UserError
from stabsearch.frontier import fit
from stabsearch.frontier.answer import Verdict
from stabsearch.records import Context
from stabsearch.sweep.found_frontier import find_frontier
from stabsearch.sweep.gating import GateResult, gate_training

SAFE = 1e-5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "gated")


def judge(folder: Path, *, bare: bool = False, rows: int | None = None, **settings: Any) -> GateResult:
    data = settings if bare else {"learning_rate": SAFE, **LIKE_THE_SWEEP, **settings}
    path = folder.parent / "train.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in data.items() if value != "-"}))
    return gate_training([path], str(folder), num_rows=rows)


def context_of(folder: Path, rows: int | None = None, **settings: Any) -> Context:
    return judge(folder, rows=rows, **settings).gated.judged.context


@pytest.mark.parametrize(
    ("settings", "precision"),
    [
        ({}, "fp32"),
        ({"bf16": True}, "bf16"),
        ({"bf16": "yes", "fp16": "false"}, "bf16"),
        ({"fp16": 1}, "fp16"),
        ({"mixed_precision": "bf16"}, "bf16"),
        ({"mixed_precision": "no"}, "fp32"),
        ({"bf16": True, "mixed_precision": "bf16", "tf32": True}, "bf16"),
    ],
)
def test_precisions(folder: Path, settings: dict[str, Any], precision: str) -> None:
    warmup = {"warmup_steps": 100}
    assert context_of(folder, **settings, **warmup).precision == precision


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"bf16": True, "fp16": True}, "both bf16 and fp16"),
        ({"bf16": True, "mixed_precision": "fp16"}, "mixed_precision is fp16, and bf16 is true"),
        ({"mixed_precision": "fp8"}, "mixed_precision 'fp8'"),
        ({"bf16": "auto"}, "bf16 is 'auto'"),
        ({"tf32": True}, "precision tf32 is not what the sweep covered"),
        ({"learning_rate": "-"}, "no learning_rate"),
        ({"learning_rate": "auto"}, "learning_rate is 'auto'"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"learning_rate": True}, "learning_rate is True"),
        ({"learning_rate": [1e-5]}, "learning_rate is"),
        ({"warmup_steps": 50}, "warmup_steps 50 is not what the sweep covered"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"warmup_ratio": 1.5}, "warmup_ratio is 1.5"),
        ({"max_grad_norm": 0.5}, "max_grad_norm 0.5 is not what the sweep covered"),
        ({"max_steps": "many", "warmup_ratio": 0.05}, "max_steps is 'many'"),
        ({"weight_decay": 0.1}, "weight_decay is 0.1, and every trial of the sweep had 0.01"),
        ({"weight_decay": "-"}, r"weight_decay is 0.0 \(by default"),
        ({"optim": "sgd"}, "optim is 'sgd', and every trial of the sweep had 'adamw_torch_fused'"),
        ({"adam_beta2": 0.95}, "adam_beta2 is 0.95"),
        ({"per_device_train_batch_size": 8}, "per_device_train_batch_size is 8"),
        ({"gradient_accumulation_steps": 4}, "gradient_accumulation_steps is 4"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor is 0.1"),
        ({"num_processes": 8}, "num_processes is 8"),
    ],
)
def test_what_is_not_covered_is_refused_with_its_name(
    folder: Path, settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        judge(folder, **settings)
    assert "train.yaml" in caught.value.message
    assert caught.value.exit_code == 2


def test_the_same_written_differently_is_the_same(folder: Path) -> None:
    same = {
        "optim": "OptimizerNames.ADAMW_TORCH",
        "neftune_noise_alpha": 0,
        "optim_args": "",
        "num_processes": 1,
    }
    assert judge(folder, **same).is_inside


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"warmup_ratio": 0.05}, 100),
        ({"warmup_steps": 0.05}, 100),
        ({"warmup_ratio": 0.0495001}, 100),
        ({"warmup_steps": 100, "warmup_ratio": 0.5}, 100),
        ({"warmup_steps": 0, "warmup_ratio": 0.05}, 100),
        ({"warmup_steps": 0.05, "warmup_ratio": 0.5}, 100),
        ({"warmup_steps": 100.0}, 100),
        ({}, 0),
        ({"warmup_ratio": 0.0}, 0),
    ],
)
def test_warmups_as_transformers_takes_them(folder: Path, settings: dict[str, Any], steps: int) -> None:
    assert context_of(folder, **settings).warmup_steps == steps


def test_the_risk_asked_about_decides(folder: Path) -> None:
    """Not the one that the sweep was run with."""
    path = folder.parent / "train.yaml"
    path.write_text(yaml.safe_dump({"learning_rate": SAFE, **LIKE_THE_SWEEP}))
    safe = {}
    for risk in (0.03, 0.1, 0.3):
        result = gate_training([path], str(folder), max_risk=risk)
        assert result.risk == risk
        safe[risk] = result.gated.judged.safe or 0.0
    assert safe[0.03] < safe[0.1] < safe[0.3]
    assert gate_training([path], str(folder)).gated.judged.safe == safe[0.1]
    path.write_text(yaml.safe_dump({"learning_rate": safe[0.1], **LIKE_THE_SWEEP}))
    assert gate_training([path], str(folder), max_risk=0.3).is_inside
    assert not gate_training([path], str(folder), max_risk=0.03).is_inside


def test_a_share_of_epochs_needs_the_rows(folder: Path) -> None:
    """200 rows in batches of 16 are 13 steps; 100 epochs of them, and 100 steps are 7.6 %."""
    epochs = {"max_steps": -1, "num_train_epochs": 100, "warmup_ratio": 0.0763}
    assert context_of(folder, rows=200, **epochs).warmup_steps == 100
    with pytest.raises(UserError, match="how many steps it has is not known") as caught:
        judge(folder, **epochs)
    assert "--rows" in caught.value.hint
    assert context_of(folder, max_steps=-1, num_train_epochs=3, warmup_steps=100).warmup_steps == 100


def test_epochs_of_the_sweep_have_its_steps(tmp_path: Path) -> None:
    training = {"num_train_epochs": 3, "per_device_train_batch_size": 16, "weight_decay": 0.01}
    folder = write_folder(tmp_path / "epochs", sweep=make_sweep(training=training))
    epochs = {"max_steps": -1, "warmup_ratio": 0.05}
    assert context_of(folder, num_train_epochs=3, **epochs).warmup_steps == 100
    assert context_of(folder, **epochs).warmup_steps == 100  # three is Transformers' default
    with pytest.raises(UserError, match="not known"):
        judge(folder, num_train_epochs=4, **epochs)


def test_a_schedule_without_warmup_has_none(folder: Path) -> None:
    result = judge(folder, lr_scheduler_type="constant", warmup_steps=100)
    assert result.gated.judged.context.warmup_steps == 0
    assert any("passes over the warmup" in note for note in result.notes)


def test_an_exact_schedule_has_to_be_the_same(tmp_path: Path) -> None:
    sweep = make_sweep(budget={"trials": 60, "horizon": 300, "schedule": "exact"})
    folder = write_folder(tmp_path / "exact", sweep=sweep)
    assert judge(folder, lr_scheduler_type="linear").is_inside
    with pytest.raises(UserError, match="lr_scheduler_type is 'cosine'"):
        judge(folder, lr_scheduler_type="cosine")


AXOLOTL = {
    "base_model": "x", "micro_batch_size": 16, "gradient_accumulation_steps": 1, "weight_decay": 0.01,
    "optimizer": "adamw_torch", "learning_rate": SAFE, "max_steps": 2000,
}  # fmt: skip


def test_axolotl_is_read_as_axolotl_trains(folder: Path) -> None:
    result = judge(folder, bare=True, **AXOLOTL, bf16="auto", warmup_ratio=0.0501)
    assert result.gated.judged.context == Context("bf16", 100, 1.0)  # it rounds down
    assert any("axolotl trains in fp16" in note for note in result.notes)
    assert any("fully trained model" in note for note in result.notes)
    adapted = judge(folder, bare=True, **AXOLOTL, bf16=True, warmup_steps=0, adapter="lora")
    assert adapted.gated.judged.context == Context("bf16", 0, 1.0)
    assert adapted.notes == ()
    with pytest.raises(UserError, match="warmup_steps 60 is not what the sweep covered"):
        judge(folder, bare=True, **AXOLOTL)  # 3 % of the steps
    long = judge(folder, bare=True, **{**AXOLOTL, "max_steps": 5000})
    assert long.gated.judged.context.warmup_steps == 100
    assert any("5000 steps" in note for note in long.notes)
    with pytest.raises(UserError, match="precision bf16-pure"):
        judge(folder, bare=True, **AXOLOTL, bf16="full", warmup_steps=0)


def test_axolotl_takes_bf16_where_nothing_is_said(folder: Path) -> None:
    bare = {**AXOLOTL, "warmup_steps": 100}
    assert judge(folder, bare=True, **bare).gated.judged.context.precision == "bf16"
    assert judge(folder, bare=True, **bare, fp16=True).gated.judged.context.precision == "fp16"
    assert judge(folder, bare=True, **bare, bf16=False).gated.judged.context.precision == "fp32"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"float16": True}, "float16 trains without mixed precision"),
        ({"lr_scheduler": "one_cycle"}, "its warmup is not linear"),
        ({"lr_quadratic_warmup": True}, "its warmup is not linear"),
        ({"gradient_accumulation_steps": None, "batch_size": 64}, "leaves the accumulation to the machine"),
    ],
)
def test_what_of_axolotl_no_sweep_covers(folder: Path, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        judge(folder, bare=True, **{**AXOLOTL, "warmup_steps": 100, **settings})


def test_what_was_searched_beside_is_part_of_the_context(tmp_path: Path) -> None:
    """Its value chooses the context, the default too; another value is not covered."""
    rows = [
        {
            "learning_rate": 10**x, "precision": "fp32", "warmup_steps": 0, "max_grad_norm": 1.0,
            "adam_beta2": beta2, "outcome": "stable" if x < top else "diverged",
        }
        for beta2, top in ((0.999, -3), (0.95, -2))
        for x in (-5, -4.5, -4, -3.5, -3.1, -2.9, -2.5, -2.1, -1.9, -1.5) * 2
    ]  # fmt: skip
    frontier = fit(pd.DataFrame(rows), 0.1, (1e-5, 1e-1), 0.9)
    search = {
        "learning_rate": {"low": 1e-5, "high": 1e-1}, "warmup": [0], "max_grad_norm": [1.0],
        "precision": ["fp32"], "adam_beta2": [0.999, 0.95],
    }  # fmt: skip
    folder = write_folder(tmp_path / "further", frontier=frontier, sweep=make_sweep(search=search))
    assert context_of(folder).adam_beta2 == 0.999
    assert context_of(folder, adam_beta2=0.95).adam_beta2 == 0.95
    with pytest.raises(UserError, match=r"adam_beta2 0\.9 is not what the sweep covered"):
        judge(folder, adam_beta2=0.9)
    (change,) = judge(folder, learning_rate=2e-3).gated.changes
    assert (change.name, change.value) == ("adam_beta2", 0.95)


def test_without_the_sweep_it_is_said_that_little_was_checked(folder: Path) -> None:
    (folder / "sweep.resolved.yaml").unlink()
    result = judge(folder, bare=True, learning_rate=SAFE)
    assert result.is_inside
    assert any("not checked" in note for note in result.notes)


def test_a_file_is_as_good_as_its_folder(folder: Path) -> None:
    stored = find_frontier(str(folder / "frontier.json"))
    assert (stored.horizon, stored.max_steps, stored.verdict) == (300, 2000, Verdict.UNCONFIRMED)
    assert stored.sweep == make_sweep()


def test_a_bare_frontier_is_read(folder: Path) -> None:
    content = json.loads((folder / "frontier.json").read_text())
    (folder / "bare.json").write_text(json.dumps(content["frontier"]))
    assert find_frontier(str(folder / "bare.json")).horizon is None


@pytest.mark.parametrize("verdict", [Verdict.CANARY_FAILED, Verdict.DATA_FAULT])
def test_a_sweep_that_broke_on_its_data_judges_nothing(tmp_path: Path, verdict: Verdict) -> None:
    folder = write_folder(tmp_path / "broken", verdict=verdict)
    with pytest.raises(UserError, match="ended without a frontier"):
        judge(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"frontier": 3}',
        '{"version": 99}',
        '{"frontier": {"version": 3}}',
        "[" * 5000,
        "nul\0",
    ],
)
def test_damaged_frontiers_are_refused(folder: Path, text: str) -> None:
    (folder / "frontier.json").write_text(text)
    with pytest.raises(UserError, match="holds no frontier"):
        find_frontier(str(folder))


@pytest.mark.parametrize(
    "change", [{"confidence": 7}, {"learning_rate_range": [1, 0]}, {"learning_rate_range": "ab"}]
)
def test_impossible_frontiers_are_refused(folder: Path, change: dict[str, Any]) -> None:
    content = json.loads((folder / "frontier.json").read_text())
    content["frontier"].update(change)
    (folder / "frontier.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="holds no frontier"):
        find_frontier(str(folder))


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("context", "warmup_steps", "x"),
        ("context", "precision", "fp3\x1b"),
        ("context", "max_grad_norm", -1),
        ("evidence", "log10_learning_rate", 1e300),
        ("evidence", "log10_learning_rate", "x"),
        ("evidence", "failed", -4),
        ("evidence", "failed", 1e12),
    ],
)
def test_impossible_numbers_fill_no_memory(folder: Path, part: str, key: str, value: Any) -> None:
    content = json.loads((folder / "frontier.json").read_text())
    context = content["frontier"]["contexts"][0]
    (context if part == "context" else context["evidence"][0])[key] = value
    (folder / "frontier.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="holds no frontier"):
        judge(folder)


def test_doubts_about_the_sweep_are_said(tmp_path: Path) -> None:
    context = {"precision": "fp32", "warmup_steps": 0, "max_grad_norm": 1.0}
    rows = [
        {"learning_rate": 10**x, **context, "outcome": "diverged" if -4.6 < x < -4.4 or x > -2 else "stable"}
        for x in (-5, -4.5, -4.45, -4, -3.5, -3, -2.5, -1.5) * 3
    ]
    island = fit(pd.DataFrame(rows), 0.1, (1e-5, 1e-1), 0.9)
    folder = write_folder(tmp_path / "island", frontier=island, verdict=Verdict.ABSTAINED)
    notes = " ".join(judge(folder).notes)
    assert "island" in notes
    assert "failed its confirmation" in notes
    assert judge(write_folder(tmp_path / "fine")).notes == ()


def test_frontiers_that_are_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for where in (str(tmp_path / "none"), "x" * 5000, "a\0b"):
        with pytest.raises(UserError, match="no frontier at"):
            find_frontier(where)
    with pytest.raises(UserError, match="no frontier to read"):
        find_frontier(str(tmp_path))
    with pytest.raises(UserError, match="no store is named"):
        find_frontier("models:/gated-frontier/1")
