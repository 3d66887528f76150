"""A workload with any part exchanged: what faults are planted in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import datasets
import torch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedConfig,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
    set_seed,
)

from experiments.fault_gallery.sentences import MAX_POSITIONS, NUM_TOPICS, VOCABULARY_SIZE, Columns, tokenizer

CHANCE = math.log(NUM_TOPICS)
"""Loss of the trivial predictor on balanced topics, nats per example."""
TINY = {
    "vocab_size": VOCABULARY_SIZE,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": MAX_POSITIONS,
    "initializer_range": 0.05,  # chosen: a narrow model starts to learn sooner than with 0.02
}


class TensorRows(Dataset[dict[str, torch.Tensor]]):
    """Rows as a user's own Dataset hands them out: tensors, whose types no table has looked at."""

    def __init__(self, rows: Sequence[Mapping[str, torch.Tensor]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return dict(self._rows[index])


@dataclass(frozen=True)
class Maker:
    """Makes a tiny model; the seed alone decides its weights."""

    kind: type[PreTrainedModel] = BertForSequenceClassification
    config: type[PreTrainedConfig] = BertConfig
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of the configuration, beside the tiny sizes."""
    change: Callable[[PreTrainedModel], None] = lambda model: None
    """What is done to the fresh model."""

    def __call__(self, model_seed: int) -> PreTrainedModel:
        """Return a fresh model."""
        set_seed(model_seed)
        model = self.kind(self.config(**{**TINY, "num_labels": NUM_TOPICS, **self.fields}))
        with torch.no_grad():
            self.change(model)
        return model


@dataclass
class Planted:
    """A workload that satisfies ``stabsearch.task.base.Workload``."""

    rows: Any
    make_model: Callable[[int], PreTrainedModel] = field(default_factory=Maker)
    chance_loss: float = CHANCE
    collator: Any = field(default_factory=lambda: DataCollatorWithPadding(tokenizer()))
    trainer_class: type[Trainer] = Trainer

    @property
    def num_rows(self) -> int:
        """Return how many rows are trained on."""
        return len(self.rows)

    def model(self, model_seed: int) -> PreTrainedModel:
        """Return a fresh model with whatever is wrong with it."""
        return self.make_model(model_seed)

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        """Return a Trainer on a fresh model and the shared rows."""
        return self.trainer_class(
            model=self.model(model_seed),
            args=args,
            train_dataset=self.rows,
            data_collator=self.collator,
            processing_class=tokenizer(),
        )


def table(columns: Columns, **features: datasets.Value) -> datasets.Dataset:
    """Return columns as an Arrow data set; types that are not named follow from the values."""
    rows = datasets.Dataset.from_dict(columns)
    for name, feature in features.items():
        rows = rows.cast_column(name, feature)
    return rows


def tensors(columns: Columns, labels: torch.dtype) -> TensorRows:
    """Return rows of tensors padded to one length, with labels of the given type."""
    padded = tokenizer().pad(
        {name: columns[name] for name in ("input_ids", "attention_mask")}, return_tensors="pt"
    )
    targets = torch.tensor(columns["labels"]).to(labels)
    return TensorRows(
        [
            {"input_ids": ids, "attention_mask": mask, "labels": label}
            for ids, mask, label in zip(padded["input_ids"], padded["attention_mask"], targets, strict=True)
        ]
    )
