"""Raise, stop, warn: whatever breaks, no poisoned update reaches the weights, and so no checkpoint."""

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from odd_models import (
    GoesAroundTrainer,
    NormedClassifier,
    OddConfig,
    OwnStepTrainer,
    RootTrainer,
    Streamed,
    Weighted,
)
from own_trainers import everything, make, same
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback

from stabsearch import TrainingBroke, watch
from stabsearch.capture.bundle import read_bundle
from stabsearch.trial.watch import NonfiniteUpdate, OnFailure

MODES: list[OnFailure] = ["raise", "stop", "warn"]
POISONED = Weighted(24, bad=(7, 8))
FLAT = Weighted(24, bad=(7, 8), weight=0.0)
"""For ``RootTrainer``: finite losses, and a gradient that is NaN."""
PRECISIONS: list[dict[str, Any]] = [{}, {"bf16": True}, {"fp16": True}]


class Noted(TrainerCallback):
    """Keeps weights, statistics and optimizer state from around each update."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.before: list[dict[str, torch.Tensor]] = []
        self.after: list[dict[str, torch.Tensor]] = []
        self.states: list[Any] = []
        self.ends = 0
        trainer.add_callback(self)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.before.append(everything(self.trainer.model))
        self.states.append(self._state())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.after.append(everything(self.trainer.model))

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.ends += 1
        self.states.append(self._state())

    def _state(self) -> dict[str, torch.Tensor]:
        state = self.trainer.optimizer.state_dict()["state"]
        return {
            f"{i}.{name}": value.clone()
            for i, held in state.items()
            for name, value in held.items()
            if isinstance(value, torch.Tensor)
        }


def train(trainer: Any, mode: OnFailure) -> Any:
    """Return what a watched training ends with, whatever its mode does."""
    if mode == "raise":
        with pytest.raises(TrainingBroke) as raised:
            trainer.train()
        return raised.value
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        output = trainer.train()
    return output if mode == "stop" else [str(w.message) for w in caught if w.category is NonfiniteUpdate]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("arguments", PRECISIONS, ids=str)
def test_changes_nothing_when_nothing_breaks(
    mode: OnFailure, arguments: dict[str, Any], tmp_path: Path
) -> None:
    """In every mode and precision, weights, statistics and logs are bitwise those of a stock training."""
    plain = make(gradient_accumulation_steps=2, **arguments)
    plain.train()
    watched = watch(make(gradient_accumulation_steps=2, **arguments), mode, tmp_path)
    watched.train()
    assert same(everything(plain.model), everything(watched.model))
    timed = ("runtime", "per_second")
    ours, theirs = (
        [
            {key: log[key] for key in log if not any(word in key for word in timed)}
            for log in each.state.log_history
        ]
        for each in (watched, plain)
    )
    assert ours == theirs
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize(
    ("trainer_class", "rows", "arguments"),
    [
        *((Trainer, POISONED, precision) for precision in PRECISIONS),
        *((RootTrainer, FLAT, precision) for precision in PRECISIONS),
        (OwnStepTrainer, POISONED, {}),
        (OwnStepTrainer, POISONED, {"fp16": True}),
        (GoesAroundTrainer, POISONED, {}),
    ],
)
def test_no_checkpoint_ever_holds_a_number_that_is_not_finite(
    tmp_path: Path,
    trainer_class: type[Trainer],
    rows: Any,
    arguments: dict[str, Any],
    mode: OnFailure,
    accumulation: int,
) -> None:
    """A checkpoint after every step: bad losses and gradients, weights and running statistics."""
    trainer = make(
        trainer_class, rows, output_dir=str(tmp_path), save_strategy="steps", save_steps=1,
        gradient_accumulation_steps=accumulation, **arguments,
    )  # fmt: skip
    is_skipped = trainer_class is RootTrainer and "fp16" in arguments  # which is the loss scaler's task
    train(watch(trainer, mode), "stop" if is_skipped else mode)
    checkpoints = sorted(tmp_path.glob("checkpoint-*"))
    assert len(checkpoints) == trainer.state.global_step
    assert (trainer.state.global_step == 8) == (mode == "warn" or is_skipped)
    trainer.save_model(str(tmp_path / "final"))
    for folder in [*checkpoints, tmp_path / "final"]:
        for name, value in load_file(folder / "model.safetensors").items():
            assert torch.isfinite(value).all(), f"{name} in {folder.name}"
    assert all(torch.isfinite(value).all() for value in everything(trainer.model).values())


@pytest.mark.parametrize("arguments", PRECISIONS, ids=str)
@pytest.mark.parametrize("accumulation", [1, 3])
def test_stop(tmp_path: Path, arguments: dict[str, Any], accumulation: int) -> None:
    """``train()`` returns; nothing is evaluated or saved; the weights are those before the bad update."""
    trainer = make(
        rows=POISONED, output_dir=str(tmp_path), save_strategy="steps", save_steps=1,
        gradient_accumulation_steps=accumulation, **arguments,
    )  # fmt: skip
    noted = Noted(trainer)
    output = train(watch(trainer, "stop"), "stop")
    steps = trainer.state.global_step
    assert output.metrics["stopped"].startswith(f"loss is nan at optimizer step {steps + 1} ")
    assert output.global_step == steps == len(noted.before) - 1 == len(list(tmp_path.glob("checkpoint-*")))
    assert math.isfinite(output.training_loss)
    assert same(everything(trainer.model), noted.before[-1])
    assert noted.ends == 1
    assert not trainer.is_in_train


def test_a_stopped_training_can_be_trained_again() -> None:
    """On the same Trainer; its bad rows were taken out in the meantime."""
    trainer = watch(make(rows=POISONED), "stop")
    assert "stopped" in train(trainer, "stop").metrics
    trainer.train_dataset = Weighted(24)
    assert "stopped" not in train(trainer, "stop").metrics
    assert trainer.state.global_step == 8


def test_stop_takes_the_noise_off_the_embeddings(tmp_path: Path) -> None:
    """As the end of any training does."""
    model = WithEmbeddings(OddConfig())
    train(watch(make(rows=POISONED, model=model, neftune_noise_alpha=1.0), "stop"), "stop")
    assert not model.embedding._forward_hooks


class WithEmbeddings(NormedClassifier):
    def get_input_embeddings(self) -> Any:
        return self.embedding


@pytest.mark.parametrize("arguments", PRECISIONS, ids=str)
@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("has_bundles", [False, True])
def test_warn(tmp_path: Path, arguments: dict[str, Any], accumulation: int, has_bundles: bool) -> None:
    """Bad updates are left out: no weight, statistic or optimizer state moves; the others are trained on."""
    trainer = make(rows=POISONED, gradient_accumulation_steps=accumulation, weight_decay=0.1, **arguments)
    noted = Noted(trainer)
    messages = train(watch(trainer, "warn", tmp_path if has_bundles else None), "warn")
    moved = [not same(*pair) for pair in zip(noted.before, noted.after, strict=True)]
    updated = [not same(*pair) for pair in zip(noted.states, noted.states[1:], strict=False)]
    left_out = [i + 1 for i in range(8) if not moved[i]]
    assert len(moved) == 8
    assert updated == moved
    assert [message.partition(" (")[0] for message in messages] == [
        f"loss is nan at optimizer step {step}" for step in left_out
    ]
    assert 0 < len(left_out) < 8
    assert noted.ends == 1
    assert all(math.isfinite(log["loss"]) for log in trainer.state.log_history if "loss" in log)
    if has_bundles:
        assert all(f"its batch is kept in {tmp_path}" in message for message in messages)
        folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
        assert [folder.name for folder in folders] == [f"step-{step:06d}" for step in left_out]
        for folder, step in zip(folders, left_out, strict=True):
            assert same(read_bundle(folder).weights(), noted.before[step - 1])


@pytest.mark.parametrize("arguments", PRECISIONS[1:], ids=str)
def test_a_capture_leaves_the_precision_alone(tmp_path: Path, arguments: dict[str, Any]) -> None:
    """The live model stays under autocast: what follows is as if nothing had been captured."""
    dtypes: list[torch.dtype] = []

    def run(folder: Path | None) -> dict[str, torch.Tensor]:
        trainer = watch(make(rows=POISONED, **arguments), "warn", folder)
        trainer.model.head.register_forward_hook(lambda _, __, output: dtypes.append(output.dtype))
        train(trainer, "warn")
        return everything(trainer.model)

    kept, unkept = run(tmp_path), run(None)
    assert list(tmp_path.glob("step-*"))
    assert same(kept, unkept)
    assert set(dtypes) == {torch.bfloat16 if "bf16" in arguments else torch.float16}


def test_a_row_that_costs_nothing_is_left_out_in_fp16_too() -> None:
    """A NaN loss without gradients is no overflow to the loss scaler; weight decay would move weights."""

    class Nothing(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            poisoned = inputs["weight"].isnan().any()
            inputs["weight"] = torch.ones_like(inputs["weight"])
            outputs = model(**inputs)
            loss = outputs["loss"] * 0 + torch.nan if poisoned else outputs["loss"]
            return (loss, outputs) if return_outputs else loss

    trainer = make(Nothing, POISONED, fp16=True, weight_decay=0.5)
    noted = Noted(trainer)
    messages = train(watch(trainer, "warn"), "warn")
    assert sum(same(*pair) for pair in zip(noted.before, noted.after, strict=True)) == len(messages) > 0


@pytest.mark.parametrize("mode", MODES)
def test_a_first_step_that_is_bad(mode: OnFailure) -> None:
    """Before the loss scaler has made its scale, and before there is any loss to average."""
    everything_bad = Weighted(24, bad=tuple(range(24)))
    trainer = watch(make(rows=everything_bad, fp16=True, max_steps=2), mode)
    before = everything(trainer.model)
    ended = train(trainer, mode)
    assert same(everything(trainer.model), before)
    if mode == "stop":
        assert math.isnan(ended.training_loss)
        assert ended.global_step == 0
    if mode == "warn":
        assert len(ended) == 2


class DividesByZero(torch.optim.SGD):
    """An optimizer that makes NaN of finite gradients in its third step."""

    steps = 0

    def step(self, closure: Any = None) -> Any:
        self.steps += 1
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data.add_(torch.nan if self.steps == 3 else 0.1)


class ZeroTrainer(Trainer):
    def create_optimizer(self, *_: Any) -> Any:
        self.optimizer = DividesByZero(self.model.parameters(), lr=0.1)
        return self.optimizer


@pytest.mark.parametrize("mode", MODES)
def test_weights_that_an_optimizer_spoiled_are_not_saved(tmp_path: Path, mode: OnFailure) -> None:
    """Loss and gradients were finite: it shows in the weights, and at the latest before they are saved."""
    trainer = make(ZeroTrainer, output_dir=str(tmp_path), save_strategy="steps", save_steps=1, max_steps=4)
    ended = train(watch(trainer, mode), mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-2"]
    if mode == "raise":
        assert str(ended) == "weight is nan at optimizer step 3 (micro-batch 3)"
    elif mode == "stop":
        assert ended.metrics["stopped"] == "weight is nan at optimizer step 3 (micro-batch 3)"
    else:
        assert ended[0].endswith("in embedding.weight: no checkpoint written")
        assert ended[1].startswith("loss is nan at optimizer step 4")


@pytest.mark.parametrize("mode", MODES)
def test_weights_that_the_last_step_spoiled(tmp_path: Path, mode: OnFailure) -> None:
    """No later loss shows them: the end of the training does, and they are not saved afterwards either."""
    trainer = make(ZeroTrainer, output_dir=str(tmp_path), max_steps=3)
    noted = Noted(trainer)
    ended = train(watch(trainer, mode), mode)
    message = "weight is nan at optimizer step 3 (micro-batch 3)"
    if mode == "raise":
        assert str(ended) == message
        with pytest.raises(TrainingBroke, match="weight is nan"):
            trainer.save_model(str(tmp_path / "final"))
    else:
        with pytest.warns(NonfiniteUpdate, match="in embedding.weight: no model written"):
            trainer.save_model(str(tmp_path / "final"))
    if mode == "stop":
        assert ended.metrics["stopped"] == message
    if mode == "warn":
        assert ended == [f"{message}, in embedding.weight: the training ends with them"]
    assert noted.ends == (mode != "raise")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", MODES)
def test_a_bad_loss_of_weights_that_were_bad_before(mode: OnFailure) -> None:
    """The batch that met them is innocent, and the message says so."""
    ended = train(watch(make(ZeroTrainer, max_steps=4), mode), mode)
    before = "the weights were not finite before this step: 5 tensors, first embedding.weight"
    if mode == "warn":
        assert ended[0] == f"loss is nan at optimizer step 4 (micro-batch 4): update left out; {before}"
        return
    text = ended.metrics["stopped"] if mode == "stop" else str(ended)
    assert text == f"loss is nan at optimizer step 4 (micro-batch 4); {before}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rows", [Weighted(0), Streamed(Weighted(0))], ids=["sized", "stream"])
def test_no_data_at_all(mode: OnFailure, rows: Any) -> None:
    """Whatever the stock Trainer does about it, the guard does not change it."""

    def ended(trainer: Trainer) -> str:
        try:
            return f"trained {trainer.train().global_step} steps"
        except Exception as error:  # noqa: BLE001 - the stock Trainer's own answer is the measure
            return f"{type(error).__name__}: {error}"

    assert ended(watch(make(rows=rows), mode)) == ended(make(rows=rows))


@pytest.mark.parametrize("mode", MODES)
def test_a_stream_of_unknown_length(tmp_path: Path, mode: OnFailure) -> None:
    """It is guarded like any other data; its rows have no numbers."""
    trainer = watch(make(rows=Streamed(POISONED)), mode, tmp_path)
    train(trainer, mode)
    (folder,) = tmp_path.glob("step-*")
    (micro_batch,) = read_bundle(folder).manifest.window
    assert micro_batch.rows is None
    assert json.loads((folder / "bundle.json").read_text())["bad"]["step"] == 3


def test_the_bundle_stands_on_the_exception(tmp_path: Path) -> None:
    """For whoever catches it; without a folder there is none."""
    broke = train(watch(make(rows=POISONED), "raise", tmp_path), "raise")
    assert broke.bundle == tmp_path / f"step-{broke.bad.step:06d}"
    assert train(watch(make(rows=POISONED)), "raise").bundle is None


def test_a_budget_that_is_too_small_changes_nothing_else(tmp_path: Path) -> None:
    """The training stops all the same, and says why there is no bundle."""
    broke = train(watch(make(rows=POISONED), "raise", tmp_path, max_bundles_gib=1e-9), "raise")
    assert broke.bundle is None
    assert broke.note.startswith("its batch is not kept: a bundle of 0.0 MiB does not fit")
    assert str(broke) == f"{broke.bad.message}; {broke.note}"
    warned, *_ = train(watch(make(rows=POISONED), "warn", tmp_path, max_bundles_gib=1e-9), "warn")
    assert f"update left out; {broke.note}" in warned
    assert not list(tmp_path.glob("step-*"))


def test_an_unknown_mode_is_refused() -> None:
    """At once, not in the night."""
    with pytest.raises(ValueError, match="on_failure is 'raise', 'stop' or 'warn', got 'ignore'"):
        watch(make(), "ignore")  # type: ignore[arg-type]
