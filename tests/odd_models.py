"""Models and Trainers of a user's own, at the top level of a module, so that another process finds them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainingArguments

VOCABULARY, LENGTH = 23, 5


class OddConfig(PretrainedConfig):
    """Width and classes."""

    model_type = "odd"

    def __init__(self, width: int = 6, num_labels: int = 2, **others: Any) -> None:
        super().__init__(num_labels=num_labels, **others)
        self.width = width


class NormedClassifier(PreTrainedModel):
    """A classifier whose forward depends on running statistics, and changes them."""

    config_class = OddConfig

    def __init__(self, config: OddConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(VOCABULARY, config.width)
        self.norm = nn.BatchNorm1d(config.width)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(config.width, config.num_labels)
        self.register_buffer("scale", torch.ones(config.width), persistent=False)
        self.post_init()

    def forward(self, input_ids: Any, labels: Any = None, weight: Any = None) -> dict[str, Any]:
        hidden = self.embedding(input_ids).mean(1)
        hidden = hidden / self.scale.to(hidden.dtype)
        with torch.no_grad():
            self.scale = 0.9 * self.scale + 0.1 * hidden.abs().mean(0).float()
        logits = self.bent(self.head(self.dropout(self.norm(hidden))))
        if labels is None:
            return {"logits": logits}
        losses = nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        loss = losses.mean() if weight is None else (losses * weight).mean()
        return {"loss": loss, "logits": logits}

    def bent(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits as they are; a subclass does something to their gradient."""
        return logits


class SteepInHalf(torch.autograd.Function):
    """The identity, with a gradient that half precision cannot hold."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.is_half = x.dtype is torch.float16
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad * 1e8 if ctx.is_half else grad


class SteepClassifier(NormedClassifier):
    """Its gradient overflows in fp16 at every loss scale."""

    def bent(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits, with a gradient that half precision cannot hold."""
        return SteepInHalf.apply(logits)  # type: ignore[no-any-return]


class RootTrainer(Trainer):
    """A loss with a finite value and no finite slope where a row weighs zero."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        weight = inputs.pop("weight")
        outputs = model(**inputs)
        rows = torch.sqrt(torch.where(weight == 0, outputs["logits"].sum(-1) * 0, 1.0))
        loss = outputs["loss"] + (rows - 1).mean()
        return (loss, outputs) if return_outputs else loss


class OwnStepTrainer(Trainer):
    """A training step of the user's own, through Accelerate."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        model.train()
        loss = self.compute_loss(model, self._prepare_inputs(inputs)) / self.args.gradient_accumulation_steps
        self.accelerator.backward(loss)
        return loss.detach()


class GoesAroundTrainer(Trainer):
    """A training step of the user's own that goes around Accelerate altogether."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        model.train()
        loss = self.compute_loss(model, self._prepare_inputs(inputs)) / self.args.gradient_accumulation_steps
        loss.backward()
        return loss.detach()

    def _clip_grad_norm(self, model: Any) -> torch.Tensor:
        return nn.utils.clip_grad_norm_(model.parameters(), self.args.max_grad_norm)


@dataclass
class OddArguments(TrainingArguments):
    """Arguments of the user's own."""

    sharpness: float = 1.0


class SharpTrainer(Trainer):
    """Reads its own arguments."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        outputs = model(**inputs)
        loss = outputs["loss"] * self.args.sharpness
        return (loss, outputs) if return_outputs else loss


def squared_loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> torch.Tensor:
    """Return a loss for ``compute_loss_func``."""
    wanted = nn.functional.one_hot(labels, outputs["logits"].shape[-1])
    return (outputs["logits"] - wanted).square().sum() / (num_items_in_batch or len(labels))


class Weighted(Dataset[dict[str, Any]]):
    """Rows with a weight each; those in ``bad`` have another one."""

    def __init__(self, num_rows: int = 12, bad: tuple[int, ...] = (), weight: float = float("nan")) -> None:
        self.num_rows, self.bad, self.weight = num_rows, bad, weight

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = (torch.arange(LENGTH) * (index + 3) + index) % VOCABULARY
        return {"input_ids": ids, "labels": index % 2, "weight": self.weight if index in self.bad else 1.0}


class Streamed(IterableDataset[dict[str, Any]]):
    """The same rows, without numbers and without a length."""

    def __init__(self, rows: Weighted) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows[index] for index in range(len(self.rows)))


class Plain(nn.Module):
    """A model that is none of Transformers'."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(LENGTH, 2)

    def forward(self, input_ids: Any, labels: Any = None, weight: Any = None) -> dict[str, Any]:
        logits = self.head(input_ids.float())
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        return {"loss": (losses * weight).mean(), "logits": logits}
