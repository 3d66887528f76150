"""Both forms of the guard give the same in every bit, whatever happens and however late the numbers come."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from guard_ends import assert_same, bits_of, end_of, make_late
from odd_models import GoesAroundTrainer, OwnStepTrainer, RootTrainer, SteepClassifier, Weighted
from own_trainers import make
from transformers import Trainer, TrainerCallback

from stabsearch.errors import UserError
from stabsearch.trial.gradients import plain_optimizer
from stabsearch.trial.guard import GuardLog
from stabsearch.trial.instrument import Guard

POISONED = Weighted(24, bad=(7, 8))
FLAT = Weighted(24, bad=(7, 8), weight=0.0)
PRECISIONS: list[dict[str, Any]] = [{}, {"bf16": True}, {"fp16": True}]
Make = Callable[[], Trainer]


@pytest.fixture(params=["at once", "late"], autouse=True)
def arrival(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that are there when they are asked for, as on a CPU, and such that take a while."""
    if request.param == "late":
        make_late(monkeypatch)


def assert_forms_agree(build: Make, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return how a training ends, having compared the forms."""
    plain = end_of(build(), "plain")
    assert_same(plain, end_of(build(), "frozen"), leave_out)
    return plain


@pytest.mark.parametrize("arguments", PRECISIONS, ids=str)
@pytest.mark.parametrize("accumulation", [1, 3])
def test_a_sound_training_is_the_stock_one(accumulation: int, arguments: dict[str, Any]) -> None:
    """Weights, statistics and the optimizer's own numbers are those of a Trainer without a guard."""
    arguments = {**arguments, "gradient_accumulation_steps": accumulation, "max_steps": 9,
                 "lr_scheduler_type": "linear", "warmup_steps": 2}  # fmt: skip
    end = assert_forms_agree(lambda: make(**arguments))
    assert end["raised"] == ""
    stock = make(**arguments)
    stock.train()
    assert bits_of(stock.model) == end["model"]
    state = plain_optimizer(stock.optimizer).state
    assert [float(each["step"]) for each in state.values()] == [9.0] * len(state)


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize(
    ("trainer_class", "arguments"),
    [
        *(
            (trainer_class, arguments)
            for trainer_class in (Trainer, OwnStepTrainer)
            for arguments in PRECISIONS
        ),
        (GoesAroundTrainer, {}),  # it scales no loss
    ],
)
def test_a_poisoned_row(trainer_class: type[Trainer], accumulation: int, arguments: dict[str, Any]) -> None:
    """Same micro-batch, same random numbers, same weights, whoever back-propagates."""
    end = assert_forms_agree(
        lambda: make(trainer_class, POISONED, gradient_accumulation_steps=accumulation, **arguments)
    )
    assert end["raised"].startswith("loss is nan")
    assert {7, 8} & set(end["rows"][-1])


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
def test_a_bad_gradient_under_a_finite_loss(accumulation: int, max_grad_norm: float) -> None:
    """The square root at zero; with and without clipping."""
    end = assert_forms_agree(
        lambda: make(RootTrainer, FLAT, gradient_accumulation_steps=accumulation, max_grad_norm=max_grad_norm)
    )
    assert end["raised"].startswith("gradient is nan")


@pytest.mark.parametrize("steps", [3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("last", [True, False])
def test_a_bad_step_at_any_place(steps: int, last: bool) -> None:
    """Also the last one, which no further step follows; and with a schedule that has gone on since."""

    class Poisons(Trainer):
        def compute_loss(self, *args: Any, **named: Any) -> Any:
            loss = super().compute_loss(*args, **named)
            return loss * torch.nan if self.state.global_step + 1 == steps else loss

    end = assert_forms_agree(
        lambda: make(
            Poisons, max_steps=steps if last else 30, lr_scheduler_type="linear", warmup_steps=3,
            logging_steps=100,
        )
    )  # fmt: skip
    assert end["raised"] == f"loss is nan at optimizer step {steps} (micro-batch {steps})"
    assert end["state"][0] == steps - 1


def test_the_first_step_leaves_an_optimizer_that_never_stepped() -> None:
    """A fused optimizer makes its numbers also for an update that it skips."""
    end = assert_forms_agree(lambda: make(rows=Weighted(24, bad=tuple(range(24)))))
    assert end["optimizer"] == {}


def test_a_learning_rate_that_blows_up() -> None:
    """The weights themselves take the loss out of range."""
    end = assert_forms_agree(lambda: make(learning_rate=1e37, max_steps=20, adam_epsilon=1e-8))
    assert end["raised"].startswith("loss is")


class InParts(Trainer):
    """Clips two parts of the model apart; from some step on, the first part's gradient is bad."""

    bad_from = 99

    def _clip_grad_norm(self, model: Any) -> torch.Tensor:
        if self.state.global_step + 1 >= self.bad_from:
            model.embedding.weight.grad[0, 0] = torch.inf
        self.accelerator.clip_grad_norm_(model.embedding.parameters(), 1.0)
        return self.accelerator.clip_grad_norm_(model.head.parameters(), 1.0)


class InBadParts(InParts):
    """With a bad gradient."""

    bad_from = 4


@pytest.mark.parametrize("trainer_class", [InParts, InBadParts])
@pytest.mark.parametrize("arguments", PRECISIONS[:2], ids=str)
def test_norms_of_parts(trainer_class: type[Trainer], arguments: dict[str, Any]) -> None:
    """The norm of the whole is the same number, and a bad part is seen."""
    end = assert_forms_agree(lambda: make(trainer_class, **arguments))
    assert end["raised"] == ("" if trainer_class is InParts else
                             "gradient is inf at optimizer step 4 (micro-batch 4)")  # fmt: skip


def with_scale(trainer: Trainer, scale: float) -> Trainer:
    """Return the Trainer with a loss scale to begin with."""
    trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    return trainer


def test_updates_that_the_loss_scaler_skips() -> None:
    """Calibration of a scale that starts too high: no failure, and the same scale afterwards."""
    end = assert_forms_agree(lambda: with_scale(make(fp16=True, max_steps=20), 2.0**26))
    assert end["raised"] == ""
    assert "skipped=[True, True" in end["log"]


def test_a_norm_that_overflows_where_no_gradient_does() -> None:
    """The loss scaler finds nothing, and yet the norm is not finite: a bad number in fp16 too."""

    class Steep(Trainer):
        def _clip_grad_norm(self, model: Any) -> torch.Tensor:
            if self.state.global_step == 4:
                model.head.weight.grad.fill_(3e38)
            return self.accelerator.clip_grad_norm_(model.parameters(), 1.0)

    end = assert_forms_agree(lambda: make(Steep, fp16=True))
    assert end["raised"].startswith("gradient is inf at optimizer step 5")


def test_a_bad_loss_without_gradients_in_fp16() -> None:
    """Nothing for the loss scaler to find; weight decay would move the weights."""

    class Nothing(Trainer):
        def compute_loss(self, model: Any, inputs: Any, **_: Any) -> Any:
            poisoned = inputs["weight"].isnan().any()
            inputs["weight"] = torch.ones_like(inputs["weight"])
            loss = model(**inputs)["loss"]
            return loss * 0 + torch.nan if poisoned else loss

    end = assert_forms_agree(lambda: make(Nothing, POISONED, fp16=True, weight_decay=0.5))
    assert end["raised"].startswith("loss is nan")


def test_a_loss_that_is_overwritten_after_its_backward() -> None:
    """What counts is what was back-propagated."""

    class Reuses(OwnStepTrainer):
        def training_step(self, *args: Any, **named: Any) -> torch.Tensor:
            loss = super().training_step(*args, **named)
            loss.mul_(100)
            return loss

    assert_forms_agree(lambda: make(Reuses, POISONED))


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16])
def test_losses_in_other_precisions(precision: torch.dtype) -> None:
    """Each number arrives as it was."""

    class Casts(Trainer):
        def compute_loss(self, *args: Any, **named: Any) -> Any:
            loss = super().compute_loss(*args, **named)
            return loss.to(precision) * (1 + 1e-9)

        def _get_num_items_in_batch(self, *_: Any) -> None:
            return None

    assert_forms_agree(lambda: make(Casts, POISONED, logging_strategy="no"))


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.Adagrad])
def test_other_fused_optimizers(kind: Any) -> None:
    """Each of them leaves everything as it is."""
    further = {"momentum": 0.9} if kind is torch.optim.SGD else {}

    class Other(Trainer):
        def create_optimizer(self, *_: Any) -> Any:
            self.optimizer = kind(self.model.parameters(), lr=0.01, fused=True, **further)
            return self.optimizer

    for rows in (POISONED, Weighted(24)):
        assert_forms_agree(lambda rows=rows: make(Other, rows))


def raising(at_step: int) -> type[Trainer]:
    """Return a Trainer whose loss raises in the last micro-batch of an update."""

    class Raises(Trainer):
        calls = 0

        def compute_loss(self, *args: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == at_step * self.args.gradient_accumulation_steps:
                raise KeyError("my own bug")
            return super().compute_loss(*args, **named)

    return Raises


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("at_step", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("rows", [POISONED, Weighted(24)])
def test_a_step_that_raises(rows: Any, at_step: int, accumulation: int) -> None:
    """A bad number before it comes first, however late it was read; otherwise the log is complete."""
    end = assert_forms_agree(
        lambda: make(raising(at_step), rows, gradient_accumulation_steps=accumulation, logging_steps=50)
    )
    assert end["raised"].startswith(("loss is nan", "KeyError"))


@pytest.mark.parametrize("arguments", [{"logging_steps": 3}, {"logging_strategy": "epoch"}])
def test_logs(arguments: dict[str, Any]) -> None:
    """No tracker hears of a step that was not taken."""
    heard: dict[str, list[str]] = {"plain": [], "frozen": []}

    class Tracker(TrainerCallback):
        def __init__(self, into: list[str]) -> None:
            self.into = into

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            self.into.append(f"{state.global_step}: {logs.get('loss')}")

    for form in ("plain", "frozen"):
        trainer = make(rows=Weighted(24, bad=(9,)), max_steps=20, seed=4, **arguments)
        trainer.add_callback(Tracker(heard[form]))
        end_of(trainer, form)
    assert heard["plain"] == heard["frozen"]


def test_a_training_that_failed_can_be_trained_again() -> None:
    """On the same Trainer, its bad rows taken out: as if it had not been held."""

    def again(form: Any) -> dict[str, Any]:
        trainer = make(rows=POISONED, logging_strategy="no")
        guard = Guard(trainer, form=form)
        with pytest.raises(Exception, match="loss is nan"):
            trainer.train()
        trainer.train_dataset = Weighted(24)
        torch.manual_seed(5)  # how often dropout drew before the failure was seen is no part of it
        trainer.train()
        return {"model": bits_of(trainer.model), "log": repr(guard.log)}

    assert_same(again("plain"), again("frozen"))


def test_weights_can_be_stepped_by_hand_afterwards() -> None:
    """Whoever catches the failure has an optimizer that works."""
    trainer = make(rows=POISONED)
    Guard(trainer, form="frozen")
    with pytest.raises(Exception, match="loss is nan"):
        trainer.train()
    before = bits_of(trainer.model)
    for weight in trainer.model.parameters():
        weight.grad = torch.ones_like(weight)
    trainer.optimizer.step()
    assert bits_of(trainer.model) != before


def test_steps_count_on_after_a_resume(tmp_path: Any) -> None:
    """A resumed training names the step of the whole training."""
    make(output_dir=str(tmp_path), max_steps=2, save_strategy="steps", save_steps=2).train()

    def end(form: Any) -> dict[str, Any]:
        trainer = make(rows=POISONED, output_dir=str(tmp_path), max_steps=32)
        train = trainer.train
        guard = Guard(trainer, form=form)
        with pytest.raises(Exception, match="loss is nan") as raised:
            trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
        del train
        return {"raised": str(raised.value), "model": bits_of(trainer.model), "log": repr(guard.log)}

    assert_same(end("plain"), end("frozen"))


@pytest.mark.parametrize("spare", [0, 1, 2, 5])
def test_whoever_has_to_know_in_time_does(spare: int) -> None:
    """What ``on_update`` raises comes before the update that it has to stop."""

    def stop_at_the_sixth(log: GuardLog) -> int:
        if log.last_step == 6:
            raise ValueError("enough")
        return min(spare, 5 - log.last_step)

    def end(form: Any) -> dict[str, Any]:
        return end_of(make(logging_strategy="no", max_steps=20), form, stop_at_the_sixth)

    assert_same(end("plain"), end("frozen"))


def test_a_loss_scale_that_never_settles() -> None:
    """Each update is skipped: the first of them is the suspect, and no weight has moved."""
    end = assert_forms_agree(
        lambda: make(model=SteepClassifier(make().model.config), fp16=True, max_steps=12)
    )
    assert "skipped=[True, True, True" in end["log"]
    assert end["suspect"][0] == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({"optim": "adamw_torch"}, "AdamW cannot skip an update"), ({"optim": "adafactor"}, "Adafactor cannot")],
)
def test_an_optimizer_that_cannot_hold_still(arguments: dict[str, Any], reason: str) -> None:
    """Who asks for the frozen form is told why it cannot be had; by itself the guard takes the other."""
    trainer = make(**arguments)
    Guard(trainer, form="frozen")
    with pytest.raises(UserError, match=f"frozen form cannot be had: {reason}"):
        trainer.train()
    assert end_of(make(**arguments), "plain")["raised"] == ""


def test_an_optimizer_of_the_users_own_is_not_trusted_to_hold_still() -> None:
    """It may do more in a step than the kernel that skips."""

    class Adds(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    class Own(Trainer):
        def create_optimizer(self, *_: Any) -> Any:
            self.optimizer = Adds(self.model.parameters(), lr=0.01, fused=True)
            return self.optimizer

    Guard(trainer := make(Own), form="frozen")
    with pytest.raises(UserError, match="Adds cannot skip"):
        trainer.train()


def test_a_cpu_gets_the_plain_form_by_itself() -> None:
    """There is nothing to wait for."""
    guard = Guard(trainer := make())
    trainer.train()
    assert guard.form == "plain"
