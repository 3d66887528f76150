"""The largest eigenvalue of a symmetric operator that is only known by its products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.linalg import eigvalsh_tridiagonal

Vector = list[torch.Tensor]
"""One tensor per parameter, together one vector."""
SETTLED = 0.01  # chosen: a bracket in decades needs no third digit
ROUNDING = 1e-5  # chosen: float32 carries seven digits; a remainder this small holds none


def largest_eigenvalue(product: Callable[[Vector], Vector], start: Vector, num_products: int) -> float:
    """Return the largest eigenvalue, by Lanczos; NaN where a product was not finite.

    The largest, not the largest in magnitude, which a power iteration would find: negative
    curvature does not make an optimizer unstable. The value is approached from below. Vectors are
    not made orthogonal again: that repeats eigenvalues, and makes none too large.

    Args:
        product: the operator, times a vector.
        start: where to begin; its length does not matter.
        num_products: products at most; fewer when the value has settled.
    """
    diagonal: list[float] = []
    beside: list[float] = []
    found = math.nan
    previous, current = [torch.zeros_like(part) for part in start], _scaled(start, 1 / _norm(start))
    for _ in range(num_products):
        image = product(current)
        diagonal.append(_dot(image, current))
        rest = _less(_less(image, current, diagonal[-1]), previous, beside[-1] if beside else 0.0)
        remainder = _norm(rest)
        if not math.isfinite(remainder):
            return math.nan
        before, found = found, _largest(diagonal, beside)
        if abs(found - before) < SETTLED * abs(found) or remainder <= ROUNDING * abs(found):
            break
        beside.append(remainder)
        previous, current = current, _scaled(rest, 1 / remainder)
    return found


def _largest(diagonal: Sequence[float], beside: Sequence[float]) -> float:
    return float(eigvalsh_tridiagonal(np.array(diagonal), np.array(beside))[-1])


def _dot(left: Vector, right: Vector) -> float:
    return float(sum(torch.sum(a * b, dtype=torch.float64) for a, b in zip(left, right, strict=True)))


def _norm(vector: Vector) -> float:
    return math.sqrt(_dot(vector, vector))


def _scaled(vector: Vector, factor: float) -> Vector:
    return [factor * part for part in vector]


def _less(vector: Vector, other: Vector, factor: float) -> Vector:
    return [a - factor * b for a, b in zip(vector, other, strict=True)]
