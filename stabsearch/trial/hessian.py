"""The Hessian of an update's loss, by its products with vectors (Pearlmutter 1994: two backwards each)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from stabsearch.trial.curvature import Vector, largest_eigenvalue


class Hessian:
    """The Hessian of one update's loss, by its products with vectors.

    Args:
        trainer: gives model and loss.
        batches: of the update's micro-batches.
        is_sum: the losses are summed up where they should be averaged, and the gradients with them.
    """

    def __init__(self, trainer: Any, batches: Sequence[Mapping[str, Any]], is_sum: bool) -> None:
        self._trainer, self._batches, self._is_sum = trainer, batches, is_sum

    def sharpness(
        self, preconditioner: dict[torch.Tensor, torch.Tensor], num_products: int, seed: int
    ) -> float:
        """Return the largest eigenvalue of P^-1/2 H P^-1/2, which is that of P^-1 H."""
        parameters = list(preconditioner)
        root = [p.rsqrt() for p in preconditioner.values()]
        with _set_aside(parameters):
            grads = self._gradient(parameters)

            def product(vector: Vector) -> Vector:
                inner = [r * part for r, part in zip(root, vector, strict=True)]
                return [r * part for r, part in zip(root, _backward(grads, inner, parameters), strict=True)]

            return largest_eigenvalue(product, _start(parameters, seed), num_products)

    def _gradient(self, parameters: list[torch.Tensor]) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient with its graph, so that it can be differentiated again."""
        model = self._trainer.model
        was_training = model.training
        model.eval()
        with sdpa_kernel(SDPBackend.MATH):  # the only attention kernel with a second derivative
            grads = torch.autograd.grad(self._loss(model), parameters, create_graph=True, allow_unused=True)
        model.train(was_training)
        return grads

    def _loss(self, model: torch.nn.Module) -> Any:
        prepared = [self._trainer._prepare_inputs(dict(batch)) for batch in self._batches]
        total = sum(self._trainer.compute_loss(model, batch) for batch in prepared)
        return total if self._is_sum else total / len(prepared)


def _backward(
    grads: tuple[torch.Tensor | None, ...], inner: Vector, parameters: list[torch.Tensor]
) -> Vector:
    """Return the Hessian times a vector; a gradient that depends on no weight has no part in it.

    ``torch.autograd.grad`` would visit only what lies on the way to the parameters, and pass by in
    silence the error that a function without a second derivative has left in the graph.
    """
    for parameter in parameters:
        parameter.grad = None
    curved = [(grad, part) for grad, part in zip(grads, inner, strict=True) if grad is not None]
    curved = [(grad, part) for grad, part in curved if grad.grad_fn is not None]
    if curved:
        torch.autograd.backward([grad for grad, _ in curved], [part for _, part in curved], retain_graph=True)
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]


@contextlib.contextmanager
def _set_aside(parameters: list[torch.Tensor]) -> Iterator[None]:
    """Keep the gradients of the coming update while others are computed."""
    kept = [parameter.grad for parameter in parameters]
    try:
        yield
    finally:
        for parameter, grad in zip(parameters, kept, strict=True):
            parameter.grad = grad


def _start(parameters: list[torch.Tensor], seed: int) -> Vector:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(p.shape, generator=generator).to(p.device) for p in parameters]
