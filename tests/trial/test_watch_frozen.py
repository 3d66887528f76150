"""A watched training whose device would have to be waited for: the same is raised, kept and written."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from guard_ends import assert_same, bits_of, bits_of_dict, make_late
from odd_models import RootTrainer, Weighted
from own_trainers import make
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import IntervalStrategy

from stabsearch import TrainingBroke, watch
from stabsearch.capture.bundle import read_bundle
from stabsearch.trial import forms, instrument
from stabsearch.trial.watch import OnFailure

POISONED = Weighted(24, bad=(7, 8))
FLAT = Weighted(24, bad=(7, 8), weight=0.0)


@pytest.fixture(params=["at once", "late"], autouse=True)
def arrival(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that are there when they are asked for, and such that take a while."""
    if request.param == "late":
        make_late(monkeypatch)


class Heard(TrainerCallback):
    """What other callbacks of the training were told."""

    def __init__(self) -> None:
        self.evaluated: list[int] = []
        self.saved: list[int] = []
        self.ended: list[int] = []

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.evaluated.append(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved.append(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.ended.append(state.global_step)


def watched(
    monkeypatch: pytest.MonkeyPatch, folder: Path, form: str, mode: OnFailure, trainer_class: type[Trainer],
    rows: Any, **arguments: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return everything that a watched training leaves behind where the guard takes this form."""
    monkeypatch.setattr(forms, "waits", lambda device: form == "frozen")
    guards: list[instrument.Guard] = []
    began = instrument.Guard.began
    with monkeypatch.context() as patch:
        patch.setattr(
            instrument.Guard, "began", lambda self, *rest: guards.append(self) or began(self, *rest)
        )
        left = _left_by(folder, mode, trainer_class, rows, **arguments)
    assert [guard.form for guard in guards] == ["plain" if mode == "warn" else form]
    return left


def _left_by(
    folder: Path, mode: OnFailure, trainer_class: type[Trainer], rows: Any, **arguments: Any
) -> dict[str, Any]:
    """Return everything that a watched training leaves behind."""
    trainer = make(
        trainer_class, rows, output_dir=str(folder / "out"), eval_steps=3, save_steps=2,
        **{"save_strategy": "steps", "logging_steps": 5, **arguments},
    )  # fmt: skip
    trainer.eval_dataset, trainer.args.eval_strategy = Weighted(6), IntervalStrategy.STEPS
    heard = Heard()
    trainer.add_callback(heard)
    watch(trainer, mode, folder / "bundles")
    ended = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            output = trainer.train()
        ended = f"{output.global_step} {output.training_loss} {output.metrics.get('stopped')}"
    except TrainingBroke as broke:
        ended = f"{broke} {broke.bad} {broke.bundle and broke.bundle.name}"
    return {
        "ended": ended,
        "heard": (heard.evaluated, heard.saved, heard.ended),
        "step": trainer.state.global_step,
        "model": bits_of(trainer.model),
        "logs": [repr({key: log[key] for key in ("loss", "eval_loss", "step") if key in log})
                 for log in trainer.state.log_history],
        "bundles": [bundle_of(path) for path in sorted((folder / "bundles").glob("step-*"))],
        "checkpoints": {path.name: bits_of_dict(load_file(path / "model.safetensors"))
                        for path in sorted((folder / "out").glob("checkpoint-*"))},
    }  # fmt: skip


def bundle_of(path: Path) -> tuple[str, str, dict[str, str]]:
    """Return a bundle's name, manifest and weights."""
    bundle = read_bundle(path)
    return path.name, repr(replace(bundle.manifest, machine={})), bits_of_dict(bundle.weights())


@pytest.mark.parametrize("mode", ["raise", "stop", "warn"])
@pytest.mark.parametrize(
    ("trainer_class", "rows", "arguments"),
    [
        (Trainer, Weighted(24), {}),
        (Trainer, POISONED, {}),
        (Trainer, POISONED, {"fp16": True}),
        (Trainer, POISONED, {"gradient_accumulation_steps": 3}),
        (Trainer, Weighted(24, bad=(9,)), {"save_strategy": "no"}),
        (Trainer, Weighted(24, bad=(9,)), {"save_strategy": "epoch", "gradient_accumulation_steps": 3}),
        (RootTrainer, FLAT, {}),
    ],
)
def test_the_same_comes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer_class: type[Trainer], rows: Any,
    arguments: dict[str, Any], mode: OnFailure,
) -> None:  # fmt: skip
    """Message, bundle, checkpoints, evaluations and logs: none of a step that was not taken."""
    plain, frozen = (
        watched(monkeypatch, tmp_path / form, form, mode, trainer_class, rows, **arguments)
        for form in ("plain", "frozen")
    )
    assert_same(plain, frozen)
    assert bool(plain["bundles"]) == (rows.bad != ())


def test_weights_that_an_optimizer_spoiled_are_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint looks at everything before it is written: losses first, then the weights."""
    monkeypatch.setattr(forms, "waits", lambda device: True)

    class Spoils(Trainer):
        def training_step(self, *args: Any, **named: Any) -> torch.Tensor:
            if self.state.global_step == 2:
                self.model.norm.bias.data.fill_(torch.nan)
            return super().training_step(*args, **named)

    trainer = make(Spoils, output_dir=str(tmp_path), save_strategy="steps", save_steps=4, max_steps=8)
    with pytest.raises(TrainingBroke, match="loss is nan at optimizer step 3"):
        watch(trainer).train()
    assert not list(tmp_path.glob("checkpoint-*"))
