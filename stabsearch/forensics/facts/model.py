"""What a model's weights and buffers are made of, read without touching them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch

FP16_LARGEST = 65_504.0
"""Largest finite fp16 number (IEEE 754 binary16)."""


@dataclass(frozen=True)
class ModelFacts:
    """Weights and buffers of a model."""

    num_weights: int = 0
    num_trained: int = 0
    """Weights that training moves."""
    dtypes: tuple[str, ...] = ("float32",)
    """Dtypes of the trained weights, the most frequent first."""
    nonfinite: tuple[str, ...] = ()
    """Names of weights and buffers that hold NaN or infinity."""
    beyond_fp16: tuple[tuple[str, float], ...] = ()
    """Weights and buffers that fp16 cannot hold, each with its largest finite magnitude."""
    precisions: tuple[str, ...] = ("fp32",)
    """Precisions that will be trained in."""
    head: str = ""
    """Name of the classifier's last layer; empty when there is none to be found."""
    head_std: float = math.nan
    """Standard deviation of its weights."""
    initializer_range: float = math.nan
    """Standard deviation that the configuration asks for."""


def model_facts(model: Any, num_outputs: int, precisions: tuple[str, ...]) -> ModelFacts:
    """Return what the weights of a model are made of.

    Args:
        model: any module.
        num_outputs: outputs of its head, by which the head is found; 0: no head is looked for.
        precisions: what will be trained in.
    """
    weights = list(model.named_parameters())
    trained = [weight for _, weight in weights if weight.requires_grad and weight.is_floating_point()]
    dtypes = Counter(map(_dtype, trained))
    tensors = [*weights, *model.named_buffers()]
    head, std = _head(model, num_outputs)
    extremes = [(name, *_extremes(tensor)) for name, tensor in tensors]
    return ModelFacts(
        num_weights=sum(weight.numel() for _, weight in weights),
        num_trained=sum(weight.numel() for _, weight in weights if weight.requires_grad),
        dtypes=tuple(dtype for dtype, _ in dtypes.most_common()),
        nonfinite=tuple(name for name, is_finite, _ in extremes if not is_finite),
        beyond_fp16=tuple((name, size) for name, _, size in extremes if size > FP16_LARGEST),
        precisions=precisions,
        head=head,
        head_std=std,
        initializer_range=_initializer_range(model),
    )


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _extremes(tensor: torch.Tensor) -> tuple[bool, float]:
    """Return whether all is finite, and the largest finite magnitude."""
    if not tensor.is_floating_point() or not tensor.numel() or tensor.device.type == "meta":
        return True, 0.0
    low, high = (float(value) for value in torch.aminmax(tensor.detach()))
    if math.isfinite(low) and math.isfinite(high):
        return True, max(-low, high)
    finite = tensor.detach()[torch.isfinite(tensor.detach())]
    is_mask = bool((tensor.detach() == -math.inf).any()) and not bool(torch.isnan(tensor).any())
    # a buffer of zeros and -inf is a causal mask, as some models keep one
    is_mask = is_mask and not isinstance(tensor, torch.nn.Parameter) and not bool((tensor == math.inf).any())
    return is_mask, float(finite.abs().max()) if finite.numel() else 0.0


def _head(model: Any, num_outputs: int) -> tuple[str, float]:
    """Return name and weight scale of the last linear layer with so many outputs."""
    heads = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == num_outputs
    ]
    if not num_outputs or not heads:
        return "", math.nan
    name, module = heads[-1]
    weight = module.weight.detach().float()
    return name, float(weight.std()) if weight.numel() > 1 else abs(float(weight))


def _initializer_range(model: Any) -> float:
    value = getattr(getattr(model, "config", None), "initializer_range", math.nan)
    return float(value) if isinstance(value, int | float) else math.nan


def ignore_indices(model: Any) -> tuple[tuple[str, int], ...]:
    """Return the loss modules inside a model, each with the label it leaves out."""
    losses = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)
    return tuple(
        (name or type(module).__name__, int(module.ignore_index))
        for name, module in model.named_modules()
        if isinstance(module, losses)
    )
