"""Rules about models, optimizers and machines: a sample that breaks each, and one that does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from preflight_samples import Look, bert, causal_collator, class_rows, gpt2, look, plain_rows

from stabsearch.forensics.facts.environment import EnvironmentFacts
from stabsearch.forensics.finding import Finding
from stabsearch.forensics.rules.environment import ENVIRONMENT

GIB = 2**30


def machine(**facts: Any) -> list[Finding]:
    """Return what the rules say of a machine."""
    return ENVIRONMENT.findings(EnvironmentFacts(**facts))


def with_weights(model: Any, change: Callable[[dict[str, torch.Tensor]], Any]) -> Any:
    """Return a model after a change of its weights, by name."""
    with torch.no_grad():
        change(dict(model.named_parameters()))
    return model


def broken_weight(weights: dict[str, torch.Tensor]) -> None:
    weights["bert.encoder.layer.0.output.dense.weight"][0, 0] = math.nan


def with_buffer(value: float) -> Any:
    model = bert()
    model.register_buffer("mask_bias", torch.tensor([0.0, value]))
    return model


def frozen(share: str) -> Any:
    model = bert()
    for name, weight in model.named_parameters():
        weight.requires_grad = not name.startswith(share)
    return model


def optimized(**settings: Any) -> list[Finding]:
    """Return what the check says of an optimizer that the caller brings."""
    model = bert()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    optimizer.param_groups[0].update(settings)
    return look(class_rows(), model, optimizers=(optimizer, None))


def foreign_optimizer() -> list[Finding]:
    return look(class_rows(), bert(), optimizers=(torch.optim.AdamW(bert().parameters(), lr=1e-4), None))


def huge(scale: float) -> Any:
    """Return a model with embeddings whose variance may be too large for a float."""
    return with_weights(bert(), lambda weights: weights["bert.embeddings.word_embeddings.weight"].mul_(scale))


def half(dtype: torch.dtype) -> Any:
    return bert().to(dtype)


def loud(scale: float) -> Any:
    """Return a model whose activations are large."""
    return with_weights(
        bert(), lambda weights: weights["bert.encoder.layer.0.intermediate.dense.weight"].mul_(scale)
    )


def scaled_head(scale: float) -> Any:
    return with_weights(bert(), lambda weights: weights["classifier.weight"].mul_(scale))


def uncopied() -> list[Finding]:
    """Return what the check says of a model that cannot be copied."""
    model = bert()
    model.lock = (piece for piece in ())  # generators have no copies
    return look(class_rows(), model)


SAMPLES: dict[str, tuple[Look, Look]] = {
    "STAB-M001": (
        lambda: look(class_rows(), scaled_head(3000.0)),
        lambda: look(class_rows(), scaled_head(3.0)),
    ),
    "STAB-M002": (
        lambda: look(class_rows(), scaled_head(50.0)),
        lambda: look(class_rows(), scaled_head(3.0)),
    ),
    "STAB-M003": (
        lambda: look(class_rows(), half(torch.bfloat16)),
        lambda: look(class_rows(), half(torch.float32)),
    ),
    "STAB-M004": (
        lambda: look(class_rows(), with_weights(bert(), broken_weight)),
        lambda: look(class_rows()),
    ),
    "STAB-M005": (
        lambda: look(class_rows(), loud(1e6), precisions=["fp16"]),
        lambda: look(class_rows(), loud(1e6), precisions=["bf16"]),
    ),
    "STAB-M006": (
        lambda: look(class_rows(), with_buffer(-1e9), precisions=["fp16"]),
        lambda: look(class_rows(), with_buffer(-1e4), precisions=["fp16"]),
    ),
    "STAB-M007": (
        lambda: look(class_rows(), gradient_accumulation_steps=2),
        lambda: look(plain_rows(), gpt2(), causal_collator(), gradient_accumulation_steps=2),
    ),
    "STAB-M008": (lambda: look(class_rows(), frozen("")), lambda: look(class_rows(), frozen("bert"))),
    "STAB-M009": (uncopied, lambda: look(class_rows())),
    "STAB-M010": (lambda: look(class_rows(), huge(1e25)), lambda: look(class_rows(), huge(10.0))),
    "STAB-O001": (lambda: optimized(correct_bias=False), lambda: optimized(correct_bias=True)),
    "STAB-O002": (
        lambda: look(class_rows(), adam_epsilon=0.0),
        lambda: look(class_rows(), adam_epsilon=1e-12),
    ),
    "STAB-O003": (
        lambda: look(class_rows(), adam_epsilon=0.1),
        lambda: look(class_rows(), adam_epsilon=1e-6),
    ),
    "STAB-O004": (lambda: look(class_rows(), adam_beta2=0.5), lambda: look(class_rows(), adam_beta2=0.95)),
    "STAB-O005": (
        lambda: look(class_rows(), weight_decay=10.0),
        lambda: look(class_rows(), weight_decay=0.1),
    ),
    "STAB-O006": (
        lambda: look(class_rows(), learning_rate=0.0),
        lambda: look(class_rows(), learning_rate=1e-9),
    ),
    "STAB-O007": (foreign_optimizer, optimized),
    "STAB-E001": (lambda: machine(free_disk=2**20), lambda: machine(free_disk=GIB)),
    "STAB-E002": (
        lambda: machine(free_memory=16 * GIB, num_weights=GIB, num_trained=GIB),
        lambda: machine(free_memory=24 * GIB, num_weights=GIB, num_trained=GIB),
    ),
    "STAB-E003": (lambda: machine(has_unused_gpu=True), machine),
    "STAB-E004": (
        lambda: machine(precisions=("fp16",), runs_fp16=False),
        lambda: machine(precisions=("bf16",), runs_fp16=False),
    ),
    "STAB-E005": (
        lambda: machine(precisions=("bf16",), runs_bf16_fast=False),
        lambda: machine(precisions=("fp32",), runs_bf16_fast=False),
    ),
    "STAB-E006": (lambda: machine(tracking_problem="no connection to localhost:1"), machine),
}
