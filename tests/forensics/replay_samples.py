"""Trials that break, on tiny models of several families, each with a bundle of its first bad batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from odd_models import LENGTH, VOCABULARY
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainingArguments,
)

from stabsearch.records import Stage, TrialPlan, TrialRecord
from stabsearch.trial.run import run_trial
from stabsearch.trial.setup import TrialSetup

SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "max_position_embeddings": 16,
}  # fmt: skip
Make = Callable[[], PreTrainedModel]


def bert() -> PreTrainedModel:
    return BertForSequenceClassification(BertConfig(**SMALL))


def bert_regression() -> PreTrainedModel:
    return BertForSequenceClassification(BertConfig(**SMALL, num_labels=1, problem_type="regression"))


def bert_masked() -> PreTrainedModel:
    return BertForMaskedLM(BertConfig(**SMALL, tie_word_embeddings=True))


def gpt2() -> PreTrainedModel:
    config = GPT2Config(vocab_size=VOCABULARY, n_embd=8, n_layer=1, n_head=2, n_positions=16, pad_token_id=0)
    config._attn_implementation = "eager"
    return GPT2ForSequenceClassification(config)


def llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**SMALL, num_key_value_heads=1, tie_word_embeddings=True))


def t5() -> PreTrainedModel:
    return T5ForConditionalGeneration(
        T5Config(vocab_size=VOCABULARY, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2,
                 decoder_start_token_id=0)
    )  # fmt: skip


def classified(index: int) -> dict[str, Any]:
    """Return a row for a classifier."""
    ids = (torch.arange(LENGTH) * (index + 3) + index) % (VOCABULARY - 1) + 1
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": index % 2}


def measured(index: int) -> dict[str, Any]:
    """Return a row for a regression."""
    return {**classified(index), "labels": 0.1 * index}


def written(index: int) -> dict[str, Any]:
    """Return a row for a language model: each label is a token."""
    row = classified(index)
    return {**row, "labels": row["input_ids"].clone()}


@dataclass
class Task:
    """A workload of such rows."""

    make: Make = bert
    row: Callable[[int], dict[str, Any]] = classified
    trainer_class: type[Trainer] = Trainer
    arguments_class: type[TrainingArguments] = TrainingArguments
    loss_function: Any = None
    change_row: Mapping[int, dict[str, Any]] = field(default_factory=dict)
    num_rows: int = 18
    chance_loss: float = 0.69

    def model(self, model_seed: int) -> PreTrainedModel:
        torch.manual_seed(model_seed)
        return self.make()

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        rows = [{**self.row(index), **self.change_row.get(index, {})} for index in range(self.num_rows)]
        if self.arguments_class is not TrainingArguments:
            args = self.arguments_class(**{name: getattr(args, name) for name in ARGUMENTS})
        extra = {"compute_loss_func": self.loss_function} if self.loss_function else {}
        return self.trainer_class(model=self.model(model_seed), args=args, train_dataset=rows, **extra)


ARGUMENTS = (
    "output_dir", "use_cpu", "max_steps", "learning_rate", "max_grad_norm", "lr_scheduler_type",
    "warmup_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "seed", "data_seed",
    "disable_tqdm", "save_strategy", "logging_nan_inf_filter",
)  # fmt: skip


def plan(**changes: Any) -> TrialPlan:
    values: dict[str, Any] = {
        "number": 1, "stage": Stage.SEARCH, "learning_rate": 1e20, "warmup_steps": 0, "max_grad_norm": 0.0,
        "precision": "fp32", "model_seed": 1, "data_seed": 2, "horizon": 12,
    }  # fmt: skip
    return TrialPlan(**{**values, **changes})


def broken(folder: Path, task: Task, trial: TrialPlan | None = None, **training: Any) -> TrialRecord:
    """Return the record of a trial that leaves a bundle in the folder."""
    arguments = {"per_device_train_batch_size": 3, "remove_unused_columns": False, **training}
    setup = TrialSetup(
        max_steps=24,
        training=arguments,
        allow_fp16_on_cpu=True,
        bundle_dir=str(folder),
        max_bundle_bytes=10**8,
    )
    return run_trial(trial or plan(), task, setup)


SEQ2SEQ = {"trainer_class": Seq2SeqTrainer, "arguments_class": Seq2SeqTrainingArguments}
