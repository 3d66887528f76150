"""What is written of a broken training: the state before the bad step, and no secrets."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from test_attribution import steep_in_half
from trial_samples import (
    NanLoss,
    Odd,
    WeightedTrainer,
    no_dropout,
    plan,
    same_weights,
    setup,
)

from stabsearch.capture.bundle import Bundle, read_bundle
from stabsearch.capture.manifest import MANIFEST
from stabsearch.records import Cause, Outcome, TrialPlan, TrialRecord
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.run import run_trial

HUGE = {"learning_rate": 1e20, "max_grad_norm": 0.0}


def run(folder: Path, workload: Any, trial: TrialPlan | None = None, **changes: Any) -> TrialRecord:
    """Return the record of a trial that keeps its bad batch."""
    kept = {"bundle_dir": str(folder), "max_bundle_bytes": 10**8, "allow_fp16_on_cpu": True, **changes}
    return run_trial(trial or plan(horizon=16), workload, setup(**kept))


def captured(folder: Path, workload: Any, trial: TrialPlan | None = None, **changes: Any) -> Bundle:
    """Return the bundle that the trial left."""
    record = run(folder, workload, trial, **changes)
    assert record.bundle, record.message
    return read_bundle(folder / record.bundle)


def test_the_bundle_of_a_poisoned_row(tiny: RowWorkload, tmp_path: Path) -> None:
    """Row numbers, decoded text, guilty row, cause, and the weights before and after training."""
    workload = Odd(tiny, WeightedTrainer, NanLoss(tiny.rows, bad=17))
    record = run(tmp_path, workload, plan(number=12, horizon=16))
    assert (record.bundle, record.suspect_rows) == ("0012", (17,))
    bundle = read_bundle(tmp_path / "0012")
    manifest = bundle.manifest
    (micro,), (batch,) = manifest.window, bundle.window()
    assert micro.rows is not None
    assert micro.texts is not None
    assert 17 in micro.rows
    for row, text, ids, weight in zip(
        micro.rows, micro.texts, batch.inputs["input_ids"], batch.inputs["weight"], strict=True
    ):
        assert ids[: len(tiny.rows[row]["input_ids"])].tolist() == tiny.rows[row]["input_ids"]
        assert text == tiny.tokenizer.decode(tiny.rows[row]["input_ids"])
        assert math.isnan(weight) == (row == 17)
    assert (manifest.bad.kind, manifest.bad.text, manifest.bad.step) == ("loss", "nan", record.first_bad_step)
    assert (manifest.outcome, manifest.cause) == ("data_fault", "data")
    assert manifest.suspects.rows == (17,)
    assert micro.rows[manifest.suspects.places[0]] == 17
    assert manifest.signature == "loss|nan|fp32|data|17"
    assert manifest.plan is not None
    assert manifest.plan["learning_rate"] == manifest.learning_rate == record.plan.learning_rate
    initial = workload.model(record.plan.model_seed).state_dict()
    assert all(torch.equal(bundle.weights("initial")[name], value) for name, value in initial.items())
    trained = workload.trainers[0].model.state_dict()
    assert all(torch.equal(bundle.weights()[name], value.cpu()) for name, value in trained.items())
    assert not same_weights(bundle.weights(), bundle.weights("initial"))


def test_a_scale_floor_keeps_the_first_update_that_was_skipped(tiny: RowWorkload, tmp_path: Path) -> None:
    """It is known 17 updates later; the weights have not moved since, and the batch is the first one."""
    trial = plan(precision="fp16", horizon=30, learning_rate=1e-2, warmup_steps=4)
    workload = Odd(tiny, change_model=steep_in_half)
    record = run(tmp_path, workload, trial)
    assert (record.outcome, record.skipped_steps) == (Outcome.SCALE_FLOOR, 18)
    bundle = read_bundle(tmp_path / record.bundle)
    manifest = bundle.manifest
    assert (manifest.bad.kind, manifest.bad.step, manifest.bad.micro_batch) == ("skipped", 1, 1)
    assert manifest.numerics.loss_scale == 2.0**16
    assert manifest.learning_rate == 0.0, "the first step of the warmup"
    assert manifest.model.hooked == ("classifier",)
    assert manifest.window[0].rows == first_rows(tiny, tmp_path / "other", trial)
    initial = workload.model(trial.model_seed).state_dict()
    assert all(torch.equal(bundle.weights()[name], value) for name, value in initial.items())


def first_rows(tiny: RowWorkload, folder: Path, trial: TrialPlan) -> tuple[int, ...] | None:
    """Return the rows of the first batch, known from a trial that breaks in it."""
    everything_bad = NanLossEverywhere(tiny.rows)
    broken = Odd(tiny, WeightedTrainer, everything_bad)
    return captured(folder, broken, replace(trial, precision="fp32")).manifest.window[0].rows


class NanLossEverywhere(NanLoss):
    """Every row is poisoned."""

    def __init__(self, rows: Any) -> None:
        super().__init__(rows, bad=-1)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.rows[index], "weight": math.nan}


class RaisesAtTheEnd(WeightedTrainer):
    """Overflows in fp16 until it meets a row that it cannot take."""

    def compute_loss(self, model: Any, inputs: Any, **named: Any) -> Any:
        poisoned = inputs["weight"].isnan().any()
        inputs["weight"] = torch.full_like(inputs["weight"], 1e8)
        loss = super().compute_loss(model, inputs, **named)
        if poisoned:
            raise ValueError("this row I cannot take")
        return loss


def test_an_error_right_after_skipped_updates_keeps_its_own_batch(tiny: RowWorkload, tmp_path: Path) -> None:
    """The updates that were skipped before are over and done with."""
    rows = NanLoss(tiny.rows, bad=17)
    bundle = captured(tmp_path, Odd(tiny, RaisesAtTheEnd, rows), plan(precision="fp16", horizon=16))
    assert bundle.manifest.bad.kind == "error"
    assert bundle.manifest.bad.text.startswith("ValueError: this row I cannot take")
    assert bundle.manifest.bad.step > 1
    assert 17 in (bundle.manifest.window[-1].rows or ())
    assert bundle.manifest.bad.micro_batch == bundle.manifest.window[-1].number == bundle.manifest.bad.step


def test_one_bundle_per_kind_of_failure(tiny: RowWorkload, tmp_path: Path) -> None:
    """A second trial that breaks in the same way points to the first one's; another way has its own."""
    first = run(tmp_path, tiny, plan(number=1, **HUGE))
    second = run(tmp_path, tiny, plan(number=2, model_seed=9, **HUGE))
    other = run(tmp_path, tiny, plan(number=3, precision="bf16", **HUGE))
    assert (first.bundle, second.bundle, other.bundle) == ("0001", "0001", "0003")
    assert first.cause is other.cause is Cause.LEARNING_RATE


@pytest.mark.parametrize("changes", [{"bundle_dir": ""}, {"max_bundle_bytes": 0}, {"max_bundle_bytes": 1000}])
def test_no_room_is_no_reason_to_lose_the_record(
    tiny: RowWorkload, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Switched off, or too large for the budget: the trial's result is the same."""
    record = run(tmp_path, tiny, plan(**HUGE), **changes)
    assert (record.outcome, record.cause, record.bundle) == (Outcome.NONFINITE, Cause.LEARNING_RATE, "")
    assert not list(tmp_path.glob("0*"))


def test_a_folder_that_cannot_be_written_is_no_reason_either(tiny: RowWorkload, tmp_path: Path) -> None:
    """A file in its place."""
    (tmp_path / "file").write_text("")
    record = run(tmp_path / "file", tiny, plan(**HUGE))
    assert (record.outcome, record.bundle) == (Outcome.NONFINITE, "")


class Unreadable:
    """A tokenizer that fails where nobody expects it."""

    def __len__(self) -> int:
        return 10**6

    def decode(self, ids: Any) -> str:
        raise LookupError("no such word")


class WithTokenizer(WeightedTrainer):
    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.processing_class = Unreadable()


def test_a_tokenizer_that_raises_is_no_reason_either(tiny: RowWorkload, tmp_path: Path) -> None:
    """Whatever a user's object raises while it is written down: the failure of the training is the result."""
    record = run(tmp_path, Odd(tiny, WithTokenizer, NanLoss(tiny.rows, bad=17)))
    assert (record.outcome, record.suspect_rows, record.bundle) == (Outcome.DATA_FAULT, (17,), "")
    assert [path.name for path in tmp_path.iterdir()] in ([], [".lock"])


class Talking(WeightedTrainer):
    """A collator that returns more than tensors; the loss takes it out again."""

    extra: ClassVar[Any] = None

    def get_train_dataloader(self) -> Any:
        inner = self.data_collator
        self.data_collator = lambda rows: {**inner(rows), "extra": self.extra}
        return super().get_train_dataloader()

    def compute_loss(self, model: Any, inputs: Any, **named: Any) -> Any:
        inputs.pop("extra")
        return super().compute_loss(model, inputs, **named)


class WithTexts(Talking):
    extra: ClassVar[Any] = {"texts": ["a", "b", "c", "d"], "rate": math.inf, "pair": (1, None)}


class WithObject(Talking):
    extra: ClassVar[Any] = {"deep": [Unreadable()]}


def test_inputs_that_are_no_tensors(tiny: RowWorkload, tmp_path: Path) -> None:
    """Plain data is stored exactly; of anything else the name and the type, and the rest all the same."""
    rows = NanLoss(tiny.rows, bad=17)
    plain = captured(tmp_path / "plain", Odd(tiny, WithTexts, rows))
    assert plain.window()[0].inputs["extra"] == WithTexts.extra
    odd = captured(tmp_path / "odd", Odd(tiny, WithObject, rows))
    assert odd.manifest.unstorable == {"extra": "test_keeping.Unreadable"}
    assert "labels" in odd.manifest.window[0].inputs["mapping"]
    assert odd.weights()


def test_secrets_and_places_are_not_kept(tiny: RowWorkload, tmp_path: Path) -> None:
    """A bundle is made to be sent to somebody."""
    training = {"hub_token": "hf_secret", "run_name": "mine", "hub_model_id": "me/mine", "weight_decay": 0.1}
    bundle = captured(tmp_path, tiny, plan(**HUGE), training=training)
    assert bundle.manifest.trainer.arguments["weight_decay"] == 0.1
    text = (bundle.folder / MANIFEST).read_text()
    assert "hf_secret" not in text
    assert "me/mine" not in text
    assert "output_dir" not in bundle.manifest.trainer.arguments
    assert json.loads(text)["version"] == 2


def hook(model: Any) -> None:
    no_dropout(model)
    model.bert.pooler.register_forward_pre_hook(lambda module, inputs: None)


def test_hooks_of_the_users_are_named(tiny: RowWorkload, tmp_path: Path) -> None:
    """They are code and cannot be stored; those of the Trainer itself come back with it."""
    hooked = captured(tmp_path / "a", Odd(tiny, change_model=hook), plan(**HUGE))
    assert hooked.manifest.model.hooked == ("bert.pooler",)
    training = {"neftune_noise_alpha": 5.0, "activation_checkpointing": True}
    noisy = captured(tmp_path / "b", tiny, plan(**HUGE), training=training)
    assert noisy.manifest.model.hooked == ()
    assert noisy.manifest.trainer.arguments["neftune_noise_alpha"] == 5.0


def test_dropout_rates_that_were_set_later(tiny: RowWorkload, tmp_path: Path) -> None:
    """The configuration says 0.1, the modules 0: what counts is what was computed."""
    bundle = captured(tmp_path, Odd(tiny, change_model=no_dropout), plan(**HUGE))
    assert bundle.manifest.model.config["hidden_dropout_prob"] == 0.1
    assert set(bundle.manifest.model.dropout.values()) == {0.0}
