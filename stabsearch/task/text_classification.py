"""Sequence classification: one label per text, cross-entropy loss."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    set_seed,
)
from transformers import logging as transformers_logging

from stabsearch.errors import UserError
from stabsearch.task.labels import ClassLabels, class_labels
from stabsearch.task.rows import TaskTable, TokenRows, column, read_rows, texts, tokenise

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

    from stabsearch.config import SequenceClassificationTask


@dataclass(frozen=True)
class TextClassification:
    """A workload of texts with one class each."""

    rows: TokenRows
    labels: ClassLabels
    tokenizer: PreTrainedTokenizerBase
    make_model: Callable[[int], PreTrainedModel]
    """Model seed -> fresh float32 model."""

    @property
    def num_rows(self) -> int:
        """Return how many rows are trained on."""
        return len(self.rows)

    @property
    def chance_loss(self) -> float:
        """Return the cross-entropy of the label marginals, nats per example."""
        return self.labels.chance_loss

    def model(self, model_seed: int) -> PreTrainedModel:
        """Return a fresh model whose new weights come from ``model_seed`` alone."""
        return self.make_model(model_seed)

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        """Return a Trainer on a fresh model and the shared rows."""
        return Trainer(
            model=self.model(model_seed),
            args=args,
            train_dataset=self.rows,
            data_collator=DataCollatorWithPadding(self.tokenizer),
        )


def read_sequence_classification(task: SequenceClassificationTask) -> TaskTable:
    """Return the training table and the columns that the task names; makes nothing of them.

    Raises:
        UserError: the data cannot be read, or has no such column; the key says which.
    """
    frame = read_rows(task.data)
    named = {"text": task.text, **({"text_pair": task.text_pair} if task.text_pair else {})}
    for key, name in {**named, "label": task.label}.items():
        column(frame, name, key)
    return TaskTable(frame, named, task.label)


def build_sequence_classification(
    task: SequenceClassificationTask, table: TaskTable | None = None
) -> TextClassification:
    """Return the workload that a sweep's task describes; reads data, tokenizer and model.

    Args:
        task: the part ``task`` of the sweep.
        table: its training table, where it has been read already.

    Raises:
        UserError: data, columns, labels, tokenizer or model cannot be used; the key says which.
    """
    frame = (table or read_sequence_classification(task)).frame
    firsts = texts(frame, task.text, "text")
    seconds = texts(frame, task.text_pair, "text_pair") if task.text_pair else None
    labels = class_labels(column(frame, task.label, "label"))
    tokenizer = _tokenizer(task)
    rows = TokenRows(tokenise(tokenizer, firsts, seconds, task.max_length), labels.ids_N)
    return TextClassification(rows, labels, tokenizer, _model_maker(task, labels))


def _tokenizer(task: SequenceClassificationTask) -> PreTrainedTokenizerBase:
    name = task.tokenizer or (task.model if isinstance(task.model, str) else None)
    if name is None:
        raise UserError("a model from a configuration needs a tokenizer of its own",
                        "give a Hub id or a local folder as task.tokenizer",
                        key=("task", "model"))  # fmt: skip
    key = "tokenizer" if task.tokenizer else "model"
    tokenizer: PreTrainedTokenizerBase = _from_hub(
        lambda: AutoTokenizer.from_pretrained(name, trust_remote_code=task.trust_remote_code), name, key
    )
    if tokenizer.pad_token is None:
        raise UserError(f"the tokenizer of {name!r} has no padding token, and rows differ in length",
                        "save a copy with pad_token set, and name its folder as task.tokenizer",
                        key=("task", key))  # fmt: skip
    return tokenizer


def _model_maker(task: SequenceClassificationTask, labels: ClassLabels) -> Callable[[int], PreTrainedModel]:
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if isinstance(task.model, str):
        return _PretrainedCopies(task.model, labels.num_classes, task.trust_remote_code)
    return ModelFromConfig(task.model.config, labels.num_classes)


WRONG_FIELDS = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    StrictDataclassError,
)
"""What model classes raise for fields that make no model."""


class ModelFromConfig:
    """Makes models with random weights from a Transformers configuration."""

    def __init__(self, config: dict[str, Any], num_labels: int) -> None:
        fields = {**config, "num_labels": num_labels}
        model_type = str(fields.pop("model_type", ""))
        if model_type not in CONFIG_MAPPING:
            raise _unknown_model_type(model_type)
        try:
            self.config = AutoConfig.for_model(model_type, **fields)
            self(0)
        except WRONG_FIELDS as error:
            reason = " ".join(str(error).split()) or "no message"
            raise UserError(f"no model can be made from this configuration: {type(error).__name__}: {reason}",
                            "see the fields of the model's configuration class in Transformers",
                            key=("task", "model", "config")) from None  # fmt: skip

    def __call__(self, model_seed: int) -> PreTrainedModel:
        """Return a fresh model; the same seed gives the same weights."""
        set_seed(model_seed)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(
            copy.deepcopy(self.config), dtype=torch.float32
        )
        return model


def _unknown_model_type(model_type: str) -> UserError:
    near = difflib.get_close_matches(model_type, list(CONFIG_MAPPING), n=1)
    seen = f"Transformers knows no model_type {model_type!r}" if model_type else "model_type is missing"
    hint = f"did you mean {near[0]!r}?" if near else "name the model's class, for example model_type: bert"
    return UserError(seen, hint, key=("task", "model", "config", *(("model_type",) if model_type else ())))


class _PretrainedCopies:
    """Hands out copies of a checkpoint read once, with new weights for what it does not hold."""

    def __init__(self, name: str, num_labels: int, trust_remote_code: bool) -> None:
        # float32 whatever the checkpoint holds: an fp16 one would train in pure fp16, silently
        self._template, found = _from_hub(
            lambda: AutoModelForSequenceClassification.from_pretrained(
                name, num_labels=num_labels, dtype=torch.float32, output_loading_info=True,
                ignore_mismatched_sizes=True, trust_remote_code=trust_remote_code,
            ), name, "model",
        )  # fmt: skip
        new = {*found["missing_keys"], *(keys[0] for keys in found["mismatched_keys"])}
        self._new_modules = sorted({key.rpartition(".")[0] for key in new})

    def __call__(self, model_seed: int) -> PreTrainedModel:
        """Return a copy of the checkpoint; the same seed gives the same new weights."""
        model: PreTrainedModel = copy.deepcopy(self._template)
        set_seed(model_seed)
        for name in self._new_modules:
            model._init_weights(model.get_submodule(name))
        return model


def _from_hub(load: Callable[[], Any], name: str, key: str) -> Any:
    """Return what ``load`` loads; its many kinds of failure become one readable error."""
    try:
        return load()
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"cannot load {name!r}: {reason}", "give a Hub id or a local folder that holds it",
                        key=("task", key)) from None  # fmt: skip
