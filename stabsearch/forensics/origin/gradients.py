"""What the gradients of a model are like after a backward pass."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from stabsearch.forensics.origin.parts import GradientFacts
from stabsearch.forensics.origin.tensors import is_finite


def gradient_facts(model: torch.nn.Module, order: Iterable[str], loss_scale: float) -> GradientFacts:
    """Return the facts of a model's gradients.

    Args:
        model: its parameters hold the gradients.
        order: parameters in the order in which their gradients were ready, the rest may be missing.
        loss_scale: divided out of every gradient first.
    """
    gradients = {
        name: parameter.grad / loss_scale if loss_scale != 1.0 else parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    bad = [name for name, gradient in gradients.items() if not is_finite(gradient)]
    largest = {name: _largest(gradient) for name, gradient in gradients.items() if name not in bad}
    peak = max(largest, key=largest.__getitem__, default=None)
    return GradientFacts(
        first_bad=next((name for name in order if name in bad), bad[0] if bad else None),
        num_bad=len(bad),
        num_parameters=len(gradients),
        largest=largest[peak] if peak is not None else None,
        largest_in=peak,
        norm=_norm(gradients.values()),
    )


def _largest(gradient: torch.Tensor) -> float:
    values = gradient.coalesce().values() if gradient.layout is torch.sparse_coo else gradient
    return float(values.abs().max()) if values.numel() else 0.0


def _norm(gradients: Iterable[torch.Tensor]) -> float:
    """Return the norm of norms, each in its gradient's own number format, as torch's clipping does."""
    norms = [torch.linalg.vector_norm(_dense(gradient)).to("cpu", torch.float32) for gradient in gradients]
    return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else math.nan


def _dense(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.to_dense() if gradient.layout is torch.sparse_coo else gradient
