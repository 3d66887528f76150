"""Gradient accumulation: the recorded loss is per example, and training stays as it is."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM, Trainer
from trial_samples import Odd, no_dropout, plan, same_weights, setup, weights

from stabsearch.records import Outcome, TrialRecord
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.accumulation import LossReference
from stabsearch.trial.ranks import Ranks
from stabsearch.trial.run import run_trial

SMALL = {
    "vocab_size": 200,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


class LabelledTokens(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows of random tokens of very different lengths, each token its own label."""

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> dict[str, Any]:
        drawn = torch.Generator().manual_seed(index)
        ids = torch.randint(0, 200, (16,), generator=drawn)
        known = torch.arange(16) < (3 if index % 2 else 16)
        return {"input_ids": ids, "labels": torch.where(known, ids, -100)}


class TokenTrainer(Trainer):
    def __init__(self, **named: Any) -> None:
        super().__init__(**{**named, "data_collator": None})


class Tokens(Odd):
    """A language model on labelled tokens."""

    kind: str = "masked"

    def model(self, model_seed: int) -> Any:
        torch.manual_seed(model_seed)
        if self.kind == "masked":
            return BertForMaskedLM(BertConfig(**SMALL, hidden_dropout_prob=0, attention_probs_dropout_prob=0))
        return LlamaForCausalLM(LlamaConfig(**SMALL))


class DividingTrainer(Trainer):
    """Divides by the number of micro-batches, as Transformers does for most models."""

    loss_is_scaled_for_ga = False


class OwnLossTrainer(Trainer):
    """A loss that knows nothing of accumulation, on a model that would."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
        return torch.nn.functional.cross_entropy(logits, inputs["labels"])


def first_loss(workload: Any, rows: int, accumulation: int, **training: Any) -> float:
    sizes = {"per_device_train_batch_size": rows, "gradient_accumulation_steps": accumulation}
    record = run_trial(plan(horizon=2, learning_rate=1e-5), workload, setup(training={**sizes, **training}))
    assert record.outcome is Outcome.STABLE, record.message
    return record.trace.losses[0]


@pytest.mark.parametrize("trainer_class", [Trainer, DividingTrainer, OwnLossTrainer])
def test_the_loss_does_not_depend_on_how_a_step_is_cut(
    tiny: RowWorkload, trainer_class: type[Trainer]
) -> None:
    """One step of 8 rows has one loss, also where Transformers back-propagates twice or four times it."""
    workload = Odd(tiny, trainer_class, change_model=no_dropout)
    losses = [first_loss(workload, rows, 8 // rows) for rows in (8, 4, 2)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_label_smoothing_is_accumulated_rightly(tiny: RowWorkload, smoothing: float) -> None:
    """The label smoother has a division of its own."""
    workload = Odd(tiny, change_model=no_dropout)
    cuts = [first_loss(workload, rows, 8 // rows, label_smoothing_factor=smoothing) for rows in (8, 4)]
    assert cuts[1] == pytest.approx(cuts[0], rel=1e-4)


@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_language_models(tiny: RowWorkload, kind: str) -> None:
    """Shares of a step's tokens (causal) and means of micro-batches (masked) both end near ln V."""
    workload = Tokens(tiny, TokenTrainer, rows=LabelledTokens())
    workload.kind = kind
    whole, cut = (first_loss(workload, rows, 8 // rows) for rows in (8, 2))
    assert cut == pytest.approx(whole, rel=0.02)


def cut_in(workload: Any, rows: int, accumulation: str = "report", **training: Any) -> TrialRecord:
    """Return a trial whose steps are 8 rows, cut into micro-batches of so many."""
    sizes = {"per_device_train_batch_size": rows, "gradient_accumulation_steps": 8 // rows}
    told = setup(training={**sizes, **training}, accumulation=accumulation)
    record = run_trial(plan(horizon=3, learning_rate=1e-4, max_grad_norm=0.0), workload, told)
    assert record.outcome is Outcome.STABLE, record.message
    return record


def multiple(record: TrialRecord) -> tuple[int, bool]:
    assert record.effective is not None
    return record.effective.loss_multiple, record.effective.is_loss_divided


@pytest.mark.parametrize("kind", ["heads", "masked"])
def test_a_multiplied_loss_is_reported(tiny: RowWorkload, kind: str) -> None:
    """The trial is the user's real run: gradients are 4 times too large, and the record says so."""
    workload: Any = Odd(tiny, change_model=no_dropout)
    if kind == "masked":
        workload = Tokens(tiny, TokenTrainer, rows=Alike())
    whole, cut = cut_in(workload, 8), cut_in(workload, 2)
    assert (multiple(whole), multiple(cut)) == ((1, False), (4, False))
    assert cut.trace.grad_norms[0] == pytest.approx(4 * whole.trace.grad_norms[0], rel=1e-4)


@pytest.mark.parametrize("kind", ["heads", "masked"])
def test_a_multiplied_loss_is_mended(tiny: RowWorkload, kind: str) -> None:
    """Told to, the Trainer divides: the update is that of the whole batch, however it is cut."""
    workload: Any = Odd(tiny, change_model=no_dropout)
    if kind == "masked":
        workload = Tokens(tiny, TokenTrainer, rows=Alike())
    whole = cut_in(workload, 8)
    for rows in (4, 2):
        cut = cut_in(workload, rows, "fix")
        assert multiple(cut) == (1, True)
        assert cut.trace.losses == pytest.approx(whole.trace.losses, rel=1e-4)
        assert cut.trace.grad_norms == pytest.approx(whole.trace.grad_norms, rel=1e-3)


class Alike(LabelledTokens):
    """The same number of labels in each row: the mean of means is the mean."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = super().__getitem__(index)["input_ids"]
        return {"input_ids": ids, "labels": ids}


def test_a_loss_that_is_divided_rightly_is_left_alone(tiny: RowWorkload) -> None:
    """Llama's goes by the number of labels of the whole step: in every bit the same, told or not."""
    workload = Tokens(tiny, TokenTrainer, rows=LabelledTokens())
    workload.kind = "causal"
    told, untold = (cut_in(workload, 2, accumulation) for accumulation in ("fix", "report"))
    assert multiple(told) == multiple(untold) == (1, False)
    assert told.trace == untold.trace
    assert {trainer.loss_is_scaled_for_ga for trainer in workload.trainers} == {None}


def test_a_loss_of_the_trainers_own_is_asked_and_not_the_models(tiny: RowWorkload) -> None:
    """One that knows of no count is mended on any model; one that says what it is, is left alone."""
    own = Odd(tiny, OwnLossTrainer, change_model=no_dropout)
    assert multiple(cut_in(own, 2)) == (4, False)
    assert multiple(cut_in(own, 2, "fix")) == (1, True)
    mended = own.trainers[-1]
    assert (mended.loss_is_scaled_for_ga, mended.args.average_tokens_across_devices) == (False, False)
    dividing = Odd(tiny, DividingTrainer, change_model=no_dropout)
    assert multiple(cut_in(dividing, 2, "fix")) == (1, False)
    smoothed = Odd(tiny, change_model=no_dropout)
    assert multiple(cut_in(smoothed, 2, "fix", label_smoothing_factor=0.1)) == (1, False)


def test_without_accumulation_there_is_nothing_to_mend(tiny: RowWorkload) -> None:
    """One micro-batch per step costs no further forward."""
    workload = Odd(tiny, change_model=no_dropout)
    told, untold = (cut_in(workload, 8, accumulation) for accumulation in ("fix", "report"))
    assert multiple(told) == (1, False)
    assert told.trace == untold.trace


class NormalisedNoise(torch.nn.Module):
    """Everything a measurement could disturb: running statistics, dropout, random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5)
        self.register_buffer("forwards", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.forwards += 1  # in any mode
        return self.drop(self.norm(x)).square().mean() + torch.rand(())


@pytest.mark.parametrize("is_training", [True, False])
def test_measuring_touches_nothing(is_training: bool) -> None:
    """Weights, running statistics, mode and random numbers are those from before."""
    model = NormalisedNoise().train(is_training)
    trainer: Any = SimpleNamespace(
        args=SimpleNamespace(gradient_accumulation_steps=2, device=torch.device("cpu")),
        compute_loss=lambda model, inputs: model(inputs.pop("x")),
        _prepare_inputs=lambda inputs: inputs,
    )
    inputs = {"x": torch.arange(12.0).reshape(4, 3)}
    before, state = weights(model), torch.get_rng_state()
    LossReference(trainer).measure(model, inputs)
    assert same_weights(before, weights(model))
    assert torch.equal(torch.get_rng_state(), state)
    assert (model.training, model.norm.training, list(inputs)) == (is_training, is_training, ["x"])
    assert all(p.grad is None for p in model.parameters())


def test_without_accumulation_nothing_is_measured() -> None:
    """One micro-batch per step is its own mean, and costs no further forward."""
    trainer: Any = SimpleNamespace(args=SimpleNamespace(gradient_accumulation_steps=1))
    reference = LossReference(trainer)
    reference.measure(torch.nn.Linear(1, 1), {})
    assert reference.says_means([1.0]) is False


def trainer_with(model: torch.nn.Module, loss: Any, accumulation: int = 2) -> Any:
    """Return as much of a Trainer as losses are measured with."""
    return SimpleNamespace(
        args=SimpleNamespace(gradient_accumulation_steps=accumulation, device=torch.device("cpu"),
                             average_tokens_across_devices=True),
        compute_loss=loss, _prepare_inputs=lambda inputs: inputs, model_accepts_loss_kwargs=True,
        compute_loss_func=None, loss_is_scaled_for_ga=None,
    )  # fmt: skip


def test_the_measured_loss_has_no_dropout() -> None:
    """The loss that it is compared with has: its expectation is what counts."""
    model, seen = torch.nn.Dropout(0.5).train(), []
    trainer = trainer_with(model, lambda model, inputs, **_: seen.append(model.training) or torch.tensor(1.0))
    LossReference(trainer).measure(model, {})
    assert seen == [False]


@pytest.mark.parametrize("goes_by_the_count", [0.0, 1.0])
def test_a_loss_is_mended_by_all_processes_or_by_none(goes_by_the_count: float) -> None:
    """One whose batch holds no label cannot tell, and would divide where the others do not."""

    class Two(Ranks):
        def worst(self, *values: float) -> tuple[float, ...]:
            return tuple(max(value, goes_by_the_count) for value in values)

        def agreed_loss(self, loss: float) -> tuple[float, int | None]:
            return loss, None

    model = torch.nn.Linear(1, 1)
    trainer = trainer_with(model, lambda *_, **__: torch.tensor(1.0))  # whatever the count
    reference = LossReference(trainer, Two(2), mends=True)
    reference.measure(model, {})
    assert reference.is_mended is (goes_by_the_count == 0.0)
    assert trainer.loss_is_scaled_for_ga is (None if goes_by_the_count else False)


def test_a_later_micro_batch_changes_nothing_about_mending() -> None:
    """It is decided before the first is trained on: in mid-step, half of a step would be divided."""
    model = torch.nn.Linear(1, 1)
    counted = iter([True, True, False, False, False, False])

    def loss(_: Any, __: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        by_count = num_items_in_batch is not None and next(counted)
        return torch.tensor(1.0) / (num_items_in_batch if by_count else 1)

    trainer = trainer_with(model, loss)
    reference = LossReference(trainer, mends=True)
    for _ in range(2):
        reference.measure(model, {})
    assert not reference.is_mended
    assert trainer.loss_is_scaled_for_ga is None


def test_every_step_is_measured_anew_until_it_can_be_told() -> None:
    """A step of one micro-batch, at an epoch's end, says nothing, and leaves nothing for the next."""
    model = torch.nn.Linear(1, 1)
    reference = LossReference(trainer_with(model, lambda *_, **__: torch.tensor(1.0)))
    reference.measure(model, {})
    assert reference.says_means([1.0]) is False
    assert reference.is_measuring
    for _ in range(2):
        reference.measure(model, {})
    assert reference.says_means([0.8, 0.8]) is True
