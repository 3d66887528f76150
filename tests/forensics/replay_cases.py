"""Trials that break, of every kind; and replays of their bundles in which one thing is changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fresh_process import Said
from odd_models import NormedClassifier, OddConfig, RootTrainer, SteepClassifier, Weighted, squared_loss
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from replay_samples import (
    SEQ2SEQ,
    Task,
    bert,
    bert_masked,
    bert_regression,
    classified,
    gpt2,
    llama,
    measured,
    plan,
    t5,
    written,
)
from transformers import PreTrainedModel

from stabsearch.records import Cause, Outcome, TrialPlan, TrialRecord


def normed() -> PreTrainedModel:
    return NormedClassifier(OddConfig())


def steep() -> PreTrainedModel:
    return SteepClassifier(OddConfig())


def frozen_bert() -> PreTrainedModel:
    model = bert()
    model.bert.embeddings.requires_grad_(False)
    return model


def lora(make: Any, kind: str | None, **fields: Any) -> Any:
    """Return a maker of a model with adapters, as a user's code makes it."""
    values = {"r": 2, "lora_dropout": 0.1, "task_type": kind, **fields}
    return lambda: get_peft_model(make(), LoraConfig(**values))


def two_adapters() -> Any:
    model = lora(bert, None, target_modules=["query"])()
    model.add_adapter("second", LoraConfig(r=3, target_modules=["value"]))
    model.base_model.set_adapter(["default", "second"])
    return model


def prompted() -> Any:
    return get_peft_model(llama(), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))


def weighted(index: int) -> dict[str, Any]:
    return Weighted()[index]


def heavy(index: int) -> dict[str, Any]:
    return {**classified(index), "weight": 1.0}


FP16 = {"precision": "fp16", "learning_rate": 30.0}
"""Drifts out of half precision, and not out of float32."""


TO_INFINITY = {"learning_rate": 1e39}
"""Takes the trained weights out of range at once: models that normalise bear anything less of adapters."""


@dataclass(frozen=True)
class Case:
    """A trial that breaks."""

    task: Task
    trial: TrialPlan = field(default_factory=plan)
    training: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome = Outcome.NONFINITE
    cause: Cause = Cause.LEARNING_RATE


THREE = {"gradient_accumulation_steps": 3}
DATA = (Outcome.DATA_FAULT, Cause.DATA)
POISONED = Task(normed, weighted, change_row={13: {"weight": float("nan")}})
REGRESSION = Task(bert_regression, measured, change_row={13: {"labels": float("nan")}})
"""The stock loss, with finite outputs: dropout shows in them."""
ROOT = Task(bert, heavy, RootTrainer, change_row={13: {"weight": 0.0}})
CASES = {
    "fp32": Case(Task()),
    "bf16": Case(Task(), plan(precision="bf16")),
    "bf16-pure": Case(Task(), plan(precision="bf16-pure")),
    "llama bf16-pure": Case(Task(llama, written), plan(precision="bf16-pure"), THREE),
    "statistics bf16-pure": Case(POISONED, plan(precision="bf16-pure", learning_rate=1e-2), THREE, *DATA),
    "fp16": Case(Task(), plan(**FP16), cause=Cause.PRECISION_AFTER_DRIFT),
    "fp16 accumulated": Case(Task(), plan(**FP16), THREE, cause=Cause.PRECISION_AFTER_DRIFT),
    "accumulated": Case(Task(), training=THREE),
    "label smoothing": Case(Task(), training={"label_smoothing_factor": 0.1, **THREE}),
    "noisy embeddings": Case(ROOT, plan(learning_rate=1e-2), {"neftune_noise_alpha": 5.0, **THREE}, *DATA),
    "regression": Case(REGRESSION, plan(learning_rate=1e-3), {}, *DATA),
    "regression bf16": Case(REGRESSION, plan(learning_rate=1e-3, precision="bf16"), THREE, *DATA),
    "regression fp16": Case(REGRESSION, plan(learning_rate=1e-3, precision="fp16"), THREE, *DATA),
    "tied weights": Case(Task(bert_masked, written), training=THREE),
    "gpt2": Case(Task(gpt2)),
    "llama": Case(Task(llama, written)),
    "llama accumulated": Case(Task(llama, written), training=THREE),
    "llama smoothed": Case(Task(llama, written), training={"label_smoothing_factor": 0.1, **THREE}),
    "llama bf16": Case(Task(llama, written), plan(precision="bf16"), THREE),
    "t5": Case(Task(t5, written), training=THREE),
    "seq2seq trainer": Case(Task(t5, written, **SEQ2SEQ)),
    "label out of range": Case(Task(change_row={13: {"labels": 9}}), plan(learning_rate=1e-3), THREE, *DATA),
    "token out of range": Case(
        Task(llama, written, change_row={13: {"input_ids": torch.full((5,), 99)}}), plan(learning_rate=1e-3),
        {}, *DATA,
    ),
    "loss function": Case(Task(loss_function=squared_loss), plan(learning_rate=1e30), THREE),
    "statistics": Case(POISONED, plan(learning_rate=1e-2), THREE, *DATA),
    "statistics fp16": Case(POISONED, plan(precision="fp16", learning_rate=1e-2), THREE, *DATA),
    "gradient": Case(ROOT, plan(learning_rate=1e-2), THREE, *DATA),
    "gradient bf16": Case(ROOT, plan(learning_rate=1e-2, precision="bf16"), THREE, *DATA),
    "frozen": Case(Task(frozen_bert), training=THREE),
    "lora": Case(Task(lora(bert, "SEQ_CLS", use_dora=True)), plan(**TO_INFINITY), THREE),
    "lora in all layers": Case(Task(lora(llama, "CAUSAL_LM", target_modules="all-linear"), written),
                               plan(**TO_INFINITY, precision="bf16"), THREE),
    "lora smoothed": Case(Task(lora(llama, "CAUSAL_LM", use_rslora=True), written), plan(**TO_INFINITY),
                          {"label_smoothing_factor": 0.1, **THREE}),
    "lora bf16-pure": Case(Task(lora(llama, "CAUSAL_LM", init_lora_weights="pissa"), written),
                           plan(**TO_INFINITY, precision="bf16-pure")),
    "lora masked": Case(Task(lora(bert_masked, None, target_modules=["query"]), written),
                        plan(**TO_INFINITY)),
    "lora regression": Case(
        Task(lora(bert_regression, "SEQ_CLS"), measured, change_row={13: {"labels": float("nan")}}),
        plan(learning_rate=1e-3), THREE, *DATA,
    ),
    "two adapters": Case(Task(two_adapters), plan(**TO_INFINITY), THREE),
    "prompt tuning": Case(Task(prompted, written), plan(**TO_INFINITY)),
    "recomputed": Case(Task(), training={"activation_checkpointing": True, **THREE}),
    "recomputed fp16": Case(
        Task(), plan(**FP16), {"activation_checkpointing": True, **THREE}, cause=Cause.PRECISION_AFTER_DRIFT
    ),
    "recomputed lora": Case(
        Task(lora(llama, "CAUSAL_LM"), written), plan(**TO_INFINITY),
        {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": True}},
    ),
    "scale floor": Case(
        Task(steep, weighted, num_rows=90), plan(precision="fp16", learning_rate=1e-3, horizon=24), {},
        Outcome.SCALE_FLOOR, Cause.PRECISION_AT_INIT,
    ),
}  # fmt: skip
TRUSTED = ("--trust-code", "--json")
CHANGED = {
    "fp16 in bf16": ("fp16", "--precision", "bf16"),
    "fp16 in fp32": ("fp16", "--precision", "fp32"),
    "bf16-pure in fp32": ("bf16-pure", "--precision", "fp32"),
    "bf16-pure on initial weights": ("bf16-pure", "--weights", "initial"),
    "initial weights": ("fp32", "--weights", "initial"),
    "poisoned on initial weights": ("statistics", "--weights", "initial"),
    "initial weights in bf16": ("label out of range", "--weights", "initial", "--precision", "bf16"),
    "the guilty row": ("gradient", "--row", 13),
    "an error's row": ("label out of range", "--row", 13),
}


@dataclass(frozen=True)
class Captured:
    """All trials, and what was said of their bundles in another process."""

    records: dict[str, TrialRecord]
    bundles: dict[str, Path]
    said: dict[str, Said]
