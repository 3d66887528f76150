"""What might cure a failed trial, one change at a time; a cure that works names the cause."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset, Subset
from transformers import Trainer, TrainingArguments, set_seed

from stabsearch.records import TrialPlan
from stabsearch.records.hyperparameters import FURTHER
from stabsearch.task.base import surroundings_of
from stabsearch.trial.adapters import inner_model
from stabsearch.trial.setup import TrialSetup

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from stabsearch.task.base import Workload

GENTLE_LEARNING_RATE = 2e-5
"""The usual fine-tuning rate of BERT-like models (Devlin et al. 2019)."""
OPTIMIZER_FIELDS = frozenset({"optim", "optim_args", "optim_target_modules"}) | {
    argument for row in FURTHER if row.part == "optimizer" for argument in row.arguments
}
"""TrainingArguments that make the optimizer, the learning rate aside."""


PEFT_NAMES = re.compile(r"\.(base_layer|original_module|modules_to_save\.[^.]+)(?=\.)")
"""What PEFT adds to the names of a model's own weights."""


@dataclass(frozen=True)
class Cure:
    """A trial with one thing changed."""

    name: str
    tried: str
    """The change in words."""
    plan: TrialPlan
    setup: TrialSetup
    workload: Workload


def cures(
    workload: Workload, plan: TrialPlan, setup: TrialSetup, rows: Collection[int], has_odd_optimizer: bool
) -> Iterator[Cure]:
    """Yield the changes worth trying on a failed trial, in the order of the ladder.

    Args:
        workload: of the failed trial.
        plan: of the failed trial, its horizon already cut to what shows the failure.
        setup: of the failed trial.
        rows: of the training data that are suspected.
        has_odd_optimizer: whether the optimizer is other than Transformers' default.
    """
    rate = min(plan.learning_rate / 30, GENTLE_LEARNING_RATE)
    yield Cure("learning rate", f"learning rate {rate:.2g} instead of {plan.learning_rate:.2g}",
               replace(plan, learning_rate=rate), setup, workload)  # fmt: skip
    if not plan.max_grad_norm:
        yield Cure("clip", "max_grad_norm 1 instead of no clipping",
                   replace(plan, max_grad_norm=1.0), setup, workload)  # fmt: skip
    if rows:
        shown = ", ".join(map(str, list(rows)[:5]))
        yield Cure("rows", f"without training row{'s' if len(rows) > 1 else ''} {shown}",
                   plan, setup, Without(workload, frozenset(rows)))  # fmt: skip
    if has_odd_optimizer and "optim" in setup.training:
        yield Cure("optimizer options", f"{setup.training['optim']} with its default options",
                   _usual(plan), _without(setup, OPTIMIZER_FIELDS - {"optim"}), workload)  # fmt: skip
    if has_odd_optimizer:
        yield Cure("optimizer", "Transformers' default AdamW at the same learning rate",
                   _usual(plan), _without(setup, OPTIMIZER_FIELDS), StockOptimizer(workload))  # fmt: skip
    yield Cure("weights", "new weights from the model's own initialisation, at the same learning rate",
               plan, setup, FreshWeights(workload))  # fmt: skip


def is_odd(trainer: Any, training: Mapping[str, Any]) -> bool:
    """Return whether a Trainer's optimizer is made by other settings or code than Transformers' default."""
    is_own = type(trainer).create_optimizer is not Trainer.create_optimizer
    usual = {field.name: field.default for field in dataclasses.fields(TrainingArguments)}
    changed = {name for name in OPTIMIZER_FIELDS & training.keys() if training[name] != usual.get(name)}
    return is_own or trainer.optimizer is not None or bool(changed)


def _usual(plan: TrialPlan) -> TrialPlan:
    """Return the plan without what it says of the optimizer, the learning rate aside."""
    unsaid: dict[str, Any] = {row.name: None for row in FURTHER if row.part == "optimizer"}
    return replace(plan, **unsaid)


def _without(setup: TrialSetup, fields: Collection[str]) -> TrialSetup:
    kept = {key: value for key, value in setup.training.items() if key not in fields}
    return replace(setup, training=kept)


@dataclass(frozen=True)
class _Changed:
    """A workload whose Trainers have one thing changed."""

    base: Workload

    @property
    def num_rows(self) -> int:
        """Return how many rows are trained on."""
        return self.base.num_rows

    @property
    def chance_loss(self) -> float:
        """Return the loss of the trivial predictor, nats per example."""
        return self.base.chance_loss

    def model(self, model_seed: int) -> PreTrainedModel:
        """Return a fresh model."""
        return self.base.model(model_seed)

    def surroundings(self) -> AbstractContextManager[None]:
        """Return what the process has to look like while a Trainer is at work."""
        return surroundings_of(self.base)


@dataclass(frozen=True)
class Without(_Changed):
    """The same workload without some of its rows."""

    rows: frozenset[int]

    @property
    def num_rows(self) -> int:
        """Return how many rows are left."""
        return self.base.num_rows - len(self.rows)

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        """Return a Trainer on the rows that are left."""
        trainer = self.base.trainer(args, model_seed)
        data: Dataset[Any] = trainer.train_dataset
        kept = [row for row in range(len(data)) if row not in self.rows]  # type: ignore[arg-type]
        trainer.train_dataset = Subset(data, kept)
        return trainer


@dataclass(frozen=True)
class StockOptimizer(_Changed):
    """The same workload with the optimizer that Transformers makes by default."""

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        """Return a Trainer that makes its optimizer as the stock Trainer does."""
        trainer = self.base.trainer(args, model_seed)
        trainer.optimizer = None
        trainer.create_optimizer = types.MethodType(Trainer.create_optimizer, trainer)
        return trainer


@dataclass(frozen=True)
class FreshWeights(_Changed):
    """The same workload on weights that the model's class draws by itself."""

    def model(self, model_seed: int) -> PreTrainedModel:
        """Return a model with weights of its own."""
        return _redrawn(self.base.model(model_seed), model_seed)

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        """Return a Trainer whose model has weights of its own."""
        trainer = self.base.trainer(args, model_seed)
        _redrawn(trainer.model, model_seed)
        return trainer


def _redrawn(model: Any, model_seed: int) -> PreTrainedModel:
    """Return the model with weights that its class draws by itself; adapters on it stay as they are."""
    inner = inner_model(model)
    set_seed(model_seed)
    fresh = type(inner)(inner.config).state_dict()
    with torch.no_grad():
        for name, value in inner.state_dict().items():
            plain = PEFT_NAMES.sub("", name)
            if plain in fresh:
                value.copy_(fresh[plain])
    redrawn: PreTrainedModel = model
    return redrawn
