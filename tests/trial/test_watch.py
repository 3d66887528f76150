"""The guard on anyone's own Trainer: it changes nothing, and stops before the first bad update."""

import math
import tempfile
from typing import Any

import pytest
import torch
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from trial_samples import (
    NanLoss,
    OwnStepTrainer,
    PlainBackwardTrainer,
    WeightedTrainer,
    same_weights,
    weights,
)

from stabsearch import TrainingBroke, watch
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.gradients import whole_norm
from stabsearch.trial.instrument import Guard
from stabsearch.trial.precision import enable_fp16_on_cpu

STEPS = 5


def make(
    tiny: RowWorkload, trainer_class: type[Trainer] = Trainer, rows: Any = None, **arguments: Any
) -> Trainer:
    args = TrainingArguments(
        **{
            "output_dir": tempfile.gettempdir(),
            "use_cpu": True,
            "max_steps": STEPS,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-2,
            "lr_scheduler_type": "constant",
            "save_strategy": "no",
            "logging_steps": 1,
            "report_to": "none",
            "disable_tqdm": True,
            "seed": 3,
            "remove_unused_columns": False,
            **arguments,
        }
    )
    trainer = trainer_class(
        model=tiny.model(0),
        args=args,
        train_dataset=tiny.rows if rows is None else rows,
        data_collator=DataCollatorWithPadding(tiny.tokenizer),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class Snapshots(TrainerCallback):
    """Keeps the weights from before each update."""

    def __init__(self) -> None:
        self.before: list[dict[str, torch.Tensor]] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.before.append(weights(model))


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_changes_nothing_when_nothing_breaks(tiny: RowWorkload, bf16: bool, accumulation: int) -> None:
    """Weights and logs of a watched training are bitwise those of an unwatched one."""
    arguments: dict[str, Any] = {"bf16": bf16, "gradient_accumulation_steps": accumulation}
    plain = make(tiny, **arguments)
    plain.train()
    watched = watch(make(tiny, **arguments))
    watched.train()
    assert same_weights(weights(plain.model), weights(watched.model))
    for ours, theirs in zip(watched.state.log_history, plain.state.log_history, strict=True):
        timeless = {key for key in theirs if "runtime" not in key and "per_second" not in key}
        assert {key: ours[key] for key in timeless} == {key: theirs[key] for key in timeless}


def test_returns_the_same_trainer(tiny: RowWorkload) -> None:
    """The user goes on with the object they have, and their subclass stays what it is."""
    trainer = make(tiny, WeightedTrainer)
    assert watch(trainer) is trainer
    assert isinstance(trainer, WeightedTrainer)


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("trainer_class", [WeightedTrainer, OwnStepTrainer, PlainBackwardTrainer])
def test_stops_before_the_first_bad_update(
    tiny: RowWorkload, trainer_class: type[Trainer], accumulation: int
) -> None:
    """One poisoned row, wherever the shuffle puts it: the weights are those from before its update."""
    trainer = watch(
        make(
            tiny,
            trainer_class,
            NanLoss(tiny.rows, bad=17),
            gradient_accumulation_steps=accumulation,
            max_steps=math.ceil(16 / accumulation),
        )
    )
    snapshots = Snapshots()
    trainer.add_callback(snapshots)
    with pytest.raises(TrainingBroke) as raised:
        trainer.train()
    bad = raised.value.bad
    assert (bad.kind, math.isnan(bad.value)) == ("loss", True)
    assert bad.step == len(snapshots.before) == trainer.state.global_step + 1
    assert math.ceil(bad.micro_batch / accumulation) == bad.step
    now = weights(trainer.model)
    assert all(bool(torch.isfinite(value).all()) for value in now.values())
    assert same_weights(now, snapshots.before[-1])


def test_without_the_guard_the_same_row_poisons_the_weights(tiny: RowWorkload) -> None:
    """The stock Trainer trains on, and reports a finite loss: what the guard is for."""
    trainer = make(tiny, WeightedTrainer, NanLoss(tiny.rows, bad=17), max_steps=16)
    result = trainer.train()
    assert math.isfinite(result.training_loss)
    assert not all(bool(torch.isfinite(value).all()) for value in weights(trainer.model).values())


def test_label_smoothing(tiny: RowWorkload) -> None:
    """Label smoothing takes the labels out of the batch, and everything still works."""
    plain = make(tiny, label_smoothing_factor=0.1)
    plain.train()
    watched = watch(make(tiny, label_smoothing_factor=0.1))
    watched.train()
    assert same_weights(weights(plain.model), weights(watched.model))


def test_a_bad_gradient_under_a_finite_loss_stops_too(tiny: RowWorkload) -> None:
    """The square root at zero has a finite value and no finite slope."""

    class RootTrainer(Trainer):
        def compute_loss(self, model: Any, inputs: Any, **named: Any) -> Any:
            outputs = model(**inputs)
            return outputs.loss + torch.sqrt(outputs.logits * 0).sum()

    trainer = watch(make(tiny, RootTrainer))
    before = weights(trainer.model)
    with pytest.raises(TrainingBroke, match="gradient is nan at optimizer step 1") as raised:
        trainer.train()
    assert raised.value.bad.kind == "gradient"
    assert same_weights(before, weights(trainer.model))


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
def test_a_trainer_that_goes_around_accelerate_is_no_false_alarm(
    tiny: RowWorkload, max_grad_norm: float, accumulation: int
) -> None:
    """A Trainer that back-propagates and clips by itself trains to its end, bitwise as before."""
    arguments: dict[str, Any] = {
        "max_grad_norm": max_grad_norm,
        "gradient_accumulation_steps": accumulation,
        "rows": NanLoss(tiny.rows, bad=-1),
    }
    plain = make(tiny, PlainBackwardTrainer, **arguments)
    plain.train()
    watched = watch(make(tiny, PlainBackwardTrainer, **arguments))
    watched.train()
    assert watched.state.global_step == STEPS
    assert same_weights(weights(plain.model), weights(watched.model))


class InPartsTrainer(WeightedTrainer):
    """Clips the encoder and the head apart, with a NaN in the encoder's gradient in the third update."""

    def _clip_grad_norm(self, model: Any) -> torch.Tensor:
        if self.state.global_step == 2:
            model.bert.embeddings.word_embeddings.weight.grad[0, 0] = torch.nan
        self.accelerator.clip_grad_norm_(model.bert.parameters(), 1.0)
        return self.accelerator.clip_grad_norm_(model.classifier.parameters(), 1.0)


def test_a_bad_gradient_in_the_first_of_several_parts_stops_too(tiny: RowWorkload) -> None:
    """The norm that was computed last says nothing about the others."""
    trainer = watch(make(tiny, InPartsTrainer, NanLoss(tiny.rows, bad=-1)))
    with pytest.raises(TrainingBroke, match="gradient is nan at optimizer step 3"):
        trainer.train()
    assert all(bool(torch.isfinite(value).all()) for value in weights(trainer.model).values())


def test_the_norm_of_parts_is_that_of_the_whole(tiny: RowWorkload) -> None:
    """The root of the sum of the squares, however large; an update of its own has a norm of its own."""
    guard = Guard(make(tiny))
    clip = guard.trainer.accelerator.clip_grad_norm_
    for value in (3e30, 4e30):
        weight = torch.nn.Parameter(torch.zeros(1))
        weight.grad = torch.tensor([value])
        clip([weight], math.inf)
    assert whole_norm(map(float, guard.norms)) == pytest.approx(5e30)


def test_fp16_skips_are_no_failure(tiny: RowWorkload) -> None:
    """A loss scale that starts too high is halved a few times, and the training goes on."""
    trainer = make(tiny, fp16=True, max_steps=12)
    enable_fp16_on_cpu(trainer)
    trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24)
    watch(trainer)
    trainer.train()
    assert trainer.state.global_step == 12
    assert trainer.accelerator.scaler.get_scale() < 2.0**24


def test_a_bad_loss_stops_an_fp16_training(tiny: RowWorkload) -> None:
    """The loss scaler would hide a poisoned row as one more skipped update."""
    trainer = make(tiny, WeightedTrainer, NanLoss(tiny.rows, bad=17), fp16=True, max_steps=16)
    enable_fp16_on_cpu(trainer)
    with pytest.raises(TrainingBroke, match="loss is nan"):
        watch(trainer).train()


def test_the_nan_filter_is_off(tiny: RowWorkload) -> None:
    """A filtered loss would be logged as finite."""
    trainer = watch(make(tiny))
    assert trainer.args.logging_nan_inf_filter is False


def test_steps_count_on_after_a_resume(tiny: RowWorkload, tmp_path: Any) -> None:
    """A resumed training names the step of the whole training."""
    first = make(tiny, WeightedTrainer, NanLoss(tiny.rows, bad=-1), output_dir=str(tmp_path), max_steps=2,
                 save_strategy="steps", save_steps=2)  # fmt: skip
    first.train()
    poisoned = watch(
        make(tiny, WeightedTrainer, NanLoss(tiny.rows, bad=17), output_dir=str(tmp_path), max_steps=32)
    )
    with pytest.raises(TrainingBroke) as raised:
        poisoned.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert raised.value.bad.step == poisoned.state.global_step + 1 > 3
