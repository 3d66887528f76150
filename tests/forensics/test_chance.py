"""What the trivial predictor costs a Trainer that nobody knows, in the units of its own loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainingArguments,
)

from stabsearch.config import QuickstartTask
from stabsearch.forensics.chance import chance_loss_of
from stabsearch.task.registry import build_workload

BERT = {"vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
IDS = torch.randint(0, 16, (60, 5), generator=torch.Generator().manual_seed(0))
CLASSES = [0] * 30 + [1] * 20 + [2] * 10
ENTROPY = -(1 / 2 * math.log(1 / 2) + 1 / 3 * math.log(1 / 3) + 1 / 6 * math.log(1 / 6))


def trainer_of(
    folder: Path, model: Any, labels: list[Any], kind: type[Trainer] = Trainer, **arguments: Any
) -> Trainer:
    """Return a Trainer on rows with these labels."""
    rows = [{"input_ids": ids, "labels": label} for ids, label in zip(IDS, labels, strict=True)]
    args = TrainingArguments(str(folder), use_cpu=True, report_to="none", **arguments)
    return kind(model=model, args=args, train_dataset=rows)


def classifier(num_labels: int, **fields: Any) -> BertForSequenceClassification:
    return BertForSequenceClassification(BertConfig(**BERT, num_labels=num_labels, **fields))


def test_classes_cost_their_entropy(tmp_path: Path) -> None:
    """Of one label per row."""
    assert chance_loss_of(trainer_of(tmp_path, classifier(3), CLASSES)) == pytest.approx(ENTROPY)


def test_numbers_cost_their_variance(tmp_path: Path) -> None:
    """Always the mean."""
    numbers = [float(label) for label in CLASSES]
    mean = sum(numbers) / 60
    variance = sum((number - mean) ** 2 for number in numbers) / 60
    assert chance_loss_of(trainer_of(tmp_path, classifier(1), numbers)) == pytest.approx(variance)


def test_several_labels_cost_their_mean_entropy(tmp_path: Path) -> None:
    """Each of them is there or not; one that never is costs nothing."""
    labels = [[float(label == 0), float(label == 1), 0.0] for label in CLASSES]
    third = -(1 / 3 * math.log(1 / 3) + 2 / 3 * math.log(2 / 3))
    found = chance_loss_of(trainer_of(tmp_path, classifier(3), labels))
    assert found == pytest.approx((math.log(2) + third) / 3)


def test_labels_of_tokens_that_are_ignored_cost_nothing(tmp_path: Path) -> None:
    """Only the others are counted."""
    labels = [[label, -100, -100, -100, -100] for label in CLASSES]
    model = BertForTokenClassification(BertConfig(**BERT, num_labels=3))
    assert chance_loss_of(trainer_of(tmp_path, model, labels)) == pytest.approx(ENTROPY)


def test_the_first_token_of_a_text_costs_nothing(tmp_path: Path) -> None:
    """A causal model predicts the tokens after it."""
    labels = [[15, label, label, label, label] for label in CLASSES]
    model = GPT2LMHeadModel(GPT2Config(vocab_size=16, n_embd=8, n_layer=1, n_head=2))
    assert chance_loss_of(trainer_of(tmp_path, model, labels)) == pytest.approx(ENTROPY)


class Counting(Trainer):
    """The model's loss, and a note beside it."""

    def compute_loss(self, *given: Any, **named: Any) -> Any:
        self.seen = getattr(self, "seen", 0) + 1
        return super().compute_loss(*given, **named)


class Threefold(Trainer):
    """Another loss than the model's."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **named: Any) -> Any:
        labels = inputs.pop("labels")
        logits = model(**inputs).logits
        return 3 * torch.nn.functional.cross_entropy(logits, labels)


@pytest.mark.parametrize(("kind", "factor"), [(Counting, 1), (Threefold, 3)])
def test_a_loss_of_its_own_is_asked(tmp_path: Path, kind: type[Trainer], factor: int) -> None:
    """What it says of a model that puts out the marginals, in its own units."""
    shuffled = [CLASSES[(7 * i) % 60] for i in range(60)]
    found = chance_loss_of(trainer_of(tmp_path, classifier(3), shuffled, kind))
    assert found == pytest.approx(factor * ENTROPY, rel=0.1)


def test_smoothed_labels_cost_more(tmp_path: Path) -> None:
    """The loss is the smoother's, and no longer the entropy."""
    plain = chance_loss_of(trainer_of(tmp_path, classifier(3), CLASSES))
    smooth = chance_loss_of(trainer_of(tmp_path, classifier(3), CLASSES, label_smoothing_factor=0.3))
    assert plain is not None
    assert smooth is not None
    assert smooth > 1.02 * plain


class NoHead(Trainer):
    """A loss that never asks for the model's last part."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **named: Any) -> Any:
        return model.bert(input_ids=inputs["input_ids"]).last_hidden_state.pow(2).mean()


class Stream(torch.utils.data.IterableDataset[Any]):
    """Rows without a number."""

    def __iter__(self) -> Any:
        return iter([{"input_ids": IDS[0], "labels": 1}])


def without_a_head(folder: Path) -> Trainer:
    return trainer_of(folder, classifier(3), CLASSES, NoHead)


def without_labels(folder: Path) -> Trainer:
    trainer = trainer_of(folder, classifier(3), CLASSES)
    trainer.train_dataset = [{"input_ids": ids} for ids in IDS]
    return trainer


def of_a_stream(folder: Path) -> Trainer:
    trainer = trainer_of(folder, classifier(3), CLASSES, max_steps=5)
    trainer.train_dataset = Stream()
    return trainer


def of_rows_that_raise(folder: Path) -> Trainer:
    trainer = trainer_of(folder, classifier(3), CLASSES)
    trainer.data_collator = lambda rows: 1 / 0
    return trainer


@pytest.mark.parametrize("made", [without_a_head, without_labels, of_a_stream, of_rows_that_raise])
def test_what_cannot_be_told_is_not_made_up(tmp_path: Path, made: Callable[[Path], Trainer]) -> None:
    """None, and the sweep goes on without it."""
    assert chance_loss_of(made(tmp_path)) is None


def test_a_built_in_task_knows_the_same(tmp_path: Path) -> None:
    """The quickstart's own number, found out from outside; of a sample it is nearly that."""
    workload = build_workload(QuickstartTask(num_rows=3000, hidden_size=8, num_hidden_layers=1))
    args = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    found = chance_loss_of(workload.trainer(args, 0))
    assert found == pytest.approx(workload.chance_loss, rel=0.005)
