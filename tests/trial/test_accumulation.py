"""Gradient accumulation: the recorded loss is per example, and training stays as it is."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM, Trainer
from trial_samples import Odd, no_dropout, plan, same_weights, setup, weights

from stabsearch.records import Outcome
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.accumulation import LossReference
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
