"""Which loss a Trainer will use, and what its model can take: read from class and configuration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

IGNORED = -100
"""Label that PyTorch's and Transformers' cross-entropies leave out."""


class LossKind(StrEnum):
    """What Transformers' loss makes of labels and outputs."""

    CLASSES = "single-label classification"
    REGRESSION = "regression"
    MULTI_LABEL = "multi-label classification"
    TOKENS = "token classification"
    CAUSAL = "causal language model"
    MASKED = "masked language model"
    SEQ2SEQ = "sequence to sequence"
    OTHER = "a loss of its own"
    """Nothing is known of it: rules about labels stay silent."""

    @property
    def is_per_token(self) -> bool:
        """Return whether there is a label for each token."""
        return self in {LossKind.TOKENS, LossKind.CAUSAL, LossKind.MASKED, LossKind.SEQ2SEQ}

    @property
    def is_cross_entropy(self) -> bool:
        """Return whether labels are ids of classes or tokens."""
        return self is LossKind.CLASSES or self.is_per_token


PROBLEM_TYPES = {
    "regression": LossKind.REGRESSION,
    "single_label_classification": LossKind.CLASSES,
    "multi_label_classification": LossKind.MULTI_LABEL,
}


@dataclass(frozen=True)
class Target:
    """What labels are compared with."""

    kind: LossKind
    num_labels: int
    """Outputs per row or per token: classes, targets, or the tokens of the vocabulary."""
    problem_type: str | None = None
    """As the configuration names it before the first batch; None: Transformers guesses from the labels."""
    label_dtype: str = "int64"
    """Torch dtype of the labels in a batch."""
    is_own_loss: bool = False
    """The Trainer computes a loss of its own: the model's says nothing."""
    label_smoothing: float = 0.0
    ignore_index: int = IGNORED
    shifts: bool = False
    """Labels are compared with the outputs one token before."""
    counts_items: bool = False
    """The loss is a sum over the labels of the whole update, divided by their number."""

    @property
    def is_known(self) -> bool:
        """Return whether it is known what the loss makes of labels."""
        return not self.is_own_loss and self.kind is not LossKind.OTHER


def loss_kind(model: Any, label_dtype: str) -> LossKind:
    """Return which loss the model computes, as Transformers 5 decides it.

    Source: ``transformers.loss.loss_utils.ForSequenceClassificationLoss``: without a
    ``problem_type``, one output is regression, integer labels are classes, all else is multi-label.
    """
    name, config = type(model).__name__, getattr(model, "config", None)
    if config is None:
        return LossKind.OTHER
    if name.endswith("ForSequenceClassification"):
        return _sequence_kind(config, label_dtype)
    if name.endswith("ForTokenClassification"):
        return LossKind.TOKENS
    if name.endswith("ForMaskedLM"):
        return LossKind.MASKED
    if getattr(config, "is_encoder_decoder", False):
        return (
            LossKind.SEQ2SEQ if hasattr(model, "get_output_embeddings") and _is_lm(name) else LossKind.OTHER
        )
    return LossKind.CAUSAL if _is_lm(name) else LossKind.OTHER


def _is_lm(name: str) -> bool:
    return name.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration"))


def _sequence_kind(config: Any, label_dtype: str) -> LossKind:
    if config.problem_type is not None:
        return PROBLEM_TYPES.get(config.problem_type, LossKind.OTHER)
    if config.num_labels == 1:
        return LossKind.REGRESSION
    return LossKind.CLASSES if label_dtype in {"int64", "int32"} else LossKind.MULTI_LABEL


def target_of(trainer: Any, label_dtype: str) -> Target:
    """Return what the Trainer's loss compares labels with.

    Args:
        trainer: any ``transformers.Trainer``.
        label_dtype: torch dtype of the labels in a batch, such as ``int64``.
    """
    model = base_model(trainer.model)
    config = getattr(model, "config", None)
    kind = loss_kind(model, label_dtype)
    num_labels = getattr(config, "num_labels", 0) or 0
    if kind in {LossKind.CAUSAL, LossKind.MASKED, LossKind.SEQ2SEQ}:
        num_labels = output_rows(model) or 0
    smoother = trainer.label_smoother
    return Target(
        kind=kind,
        num_labels=num_labels,
        problem_type=getattr(config, "problem_type", None),
        label_dtype=label_dtype,
        is_own_loss=has_own_loss(trainer),
        label_smoothing=smoother.epsilon if smoother is not None else 0.0,
        ignore_index=smoother.ignore_index if smoother is not None else IGNORED,
        shifts=kind is LossKind.CAUSAL,
        counts_items=bool(trainer.model_accepts_loss_kwargs),
    )


def has_own_loss(trainer: Any) -> bool:
    """Return whether the Trainer's class or its caller brings a loss: the model's then says nothing."""
    from transformers import Trainer

    is_stock = type(trainer).compute_loss is Trainer.compute_loss and "compute_loss" not in vars(trainer)
    return trainer.compute_loss_func is not None or not is_stock


def base_model(model: Any) -> Any:
    """Return the Transformers model inside wrappers of PEFT, ``torch.compile`` or data parallelism."""
    while True:
        if hasattr(model, "get_base_model"):
            return model.get_base_model()
        inner = getattr(model, "_orig_mod", None) or getattr(model, "module", None)
        if inner is None:
            return model
        model = inner


def output_rows(model: Any) -> int | None:
    """Return how many tokens a language model chooses from; None when it does not say."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    weight = getattr(head, "weight", None)
    if weight is not None and weight.ndim == 2:
        return int(weight.shape[0])
    size = getattr(getattr(model, "config", None), "vocab_size", None)
    return int(size) if size is not None else None
