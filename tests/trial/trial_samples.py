"""Tiny workloads, and workloads with something wrong with them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import PreTrainedModel, Trainer, TrainingArguments

from stabsearch.config import QuickstartTask
from stabsearch.records import Stage, TrialPlan
from stabsearch.task.quickstart import build as build_quickstart
from stabsearch.task.workload import RowWorkload
from stabsearch.trial.setup import TrialSetup

TASK = QuickstartTask(num_rows=64, num_classes=2, hidden_size=16, num_hidden_layers=1)
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def build_tiny() -> RowWorkload:
    return build_quickstart(TASK)


def plan(**changes: Any) -> TrialPlan:
    values: dict[str, Any] = {
        "number": 0,
        "stage": Stage.SEARCH,
        "learning_rate": 1e-3,
        "warmup_steps": 0,
        "max_grad_norm": 1.0,
        "precision": "fp32",
        "model_seed": 1,
        "data_seed": 2,
        "horizon": 6,
    }
    return TrialPlan(**{**values, **changes})


def setup(**changes: Any) -> TrialSetup:
    training = {
        "per_device_train_batch_size": 4,
        "remove_unused_columns": False,
        **changes.pop("training", {}),
    }
    return TrialSetup(**{"max_steps": 40, "training": training, **changes})


class NanLoss(Dataset[dict[str, Any]]):
    """Rows whose row ``bad`` carries a weight of NaN; other rows carry 1."""

    def __init__(self, rows: Dataset[dict[str, Any]], bad: int) -> None:
        self.rows, self.bad = rows, bad

    def __len__(self) -> int:
        return len(self.rows)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.rows[index], "weight": float("nan") if index == self.bad else 1.0}


class WeightedTrainer(Trainer):
    """A user's Trainer with a loss of its own: cross-entropy weighted per row."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels, weight = inputs.pop("labels"), inputs.pop("weight")
        outputs = model(**inputs)
        losses = torch.nn.functional.cross_entropy(outputs.logits, labels, reduction="none")
        loss = (weight * losses).mean()
        return (loss, outputs) if return_outputs else loss


class OwnStepTrainer(WeightedTrainer):
    """A user's Trainer with a training step of its own, through Accelerate."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        model.train()
        loss = self.compute_loss(model, self._prepare_inputs(inputs))
        loss = loss / self.args.gradient_accumulation_steps
        self.accelerator.backward(loss)
        return loss.detach()


class PlainBackwardTrainer(WeightedTrainer):
    """A user's Trainer that goes around Accelerate altogether."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        model.train()
        loss = self.compute_loss(model, self._prepare_inputs(inputs))
        loss.backward()
        return loss.detach()

    def _clip_grad_norm(self, model: Any) -> torch.Tensor:
        return torch.nn.utils.clip_grad_norm_(model.parameters(), self.args.max_grad_norm)


@dataclass
class Odd:
    """A workload with parts exchanged."""

    base: RowWorkload
    trainer_class: type[Trainer] = Trainer
    rows: Any = None
    change_model: Callable[[PreTrainedModel], Any] = lambda model: None
    chance_loss: float = 0.69
    trainers: list[Trainer] = field(default_factory=list)

    @property
    def num_rows(self) -> int:
        return self.base.num_rows

    def model(self, model_seed: int) -> PreTrainedModel:
        model = self.base.model(model_seed)
        self.change_model(model)
        return model

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        from transformers import DataCollatorWithPadding

        trainer = self.trainer_class(
            model=self.model(model_seed),
            args=args,
            train_dataset=self.base.rows if self.rows is None else self.rows,
            data_collator=DataCollatorWithPadding(self.base.tokenizer),
        )
        self.trainers.append(trainer)
        return trainer


def no_dropout(model: PreTrainedModel) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def too_large_for_fp16(model: Any) -> None:
    """Give one layer weights whose outputs fp16 cannot hold."""
    no_dropout(model)
    layer = model.bert.encoder.layer[0]
    with torch.no_grad():
        layer.intermediate.dense.weight.mul_(3e4)
        layer.output.dense.weight.mul_(3e4)


def flips_once(model: Any) -> None:
    """Turn one activation infinite in the fourth forward, and never again: a bit that fell over."""
    calls = {"n": 0}

    def flip(module: Any, inputs: Any, output: Any) -> Any:
        calls["n"] += 1
        return output * float("inf") if calls["n"] == 4 else output

    model.classifier.register_forward_hook(flip)


class RootTrainer(Trainer):
    """A loss with a finite value and no finite slope, whatever the weights are."""

    def compute_loss(self, model: Any, inputs: Any, **_: Any) -> Any:
        outputs = model(**inputs)
        return outputs.loss + torch.sqrt(outputs.logits.float() * 0).sum()


class BuggyTrainer(Trainer):
    """A training code that raises, whatever the batch is."""

    def compute_loss(self, model: Any, inputs: Any, **_: Any) -> Any:
        raise KeyError("my own bug")


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same_weights(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
