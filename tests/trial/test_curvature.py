"""The largest eigenvalue, from products alone."""

import math

import numpy as np
import pytest
import torch

from stabsearch.trial.curvature import Vector, largest_eigenvalue


class Counted:
    """A symmetric matrix of known eigenvalues over two parameters, and how often it was used."""

    def __init__(self, *eigenvalues: float, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        basis, _ = np.linalg.qr(rng.standard_normal((len(eigenvalues), len(eigenvalues))))
        self.matrix = torch.tensor(basis @ np.diag(eigenvalues) @ basis.T, dtype=torch.float32)
        self.products = 0

    def __call__(self, vector: Vector) -> Vector:
        self.products += 1
        return split(self.matrix @ torch.cat([part.flatten() for part in vector]))

    @property
    def start(self) -> Vector:
        return split(torch.randn(len(self.matrix), generator=torch.Generator().manual_seed(1)))


def split(whole: torch.Tensor) -> Vector:
    """Return one vector as a matrix of two rows and a vector, as parameters come."""
    return [whole[:4].reshape(2, 2), whole[4:]]


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_is_found_beside_larger_negative_ones(seed: int) -> None:
    """A power iteration would return -50."""
    operator = Counted(-50.0, *np.linspace(-1, 1, 30), 4.0, seed=seed)
    assert largest_eigenvalue(operator, operator.start, 30) == pytest.approx(4.0, rel=0.02)
    assert operator.products < 20


def test_more_products_than_dimensions_do_no_harm() -> None:
    """Rounding must not invent a direction that is not there."""
    operator = Counted(1.0, 2.0, 3.0, 4.0, 5.0)
    assert largest_eigenvalue(operator, operator.start, 100) == pytest.approx(5.0, rel=1e-4)
    assert operator.products <= 6


@pytest.mark.parametrize("value", [0.0, 7.0, -7.0])
def test_an_operator_that_only_scales_takes_one_product(value: float) -> None:
    """Every vector is its eigenvector."""
    operator = Counted(*[value] * 6)
    assert largest_eigenvalue(operator, operator.start, 10) == pytest.approx(value, abs=1e-5)
    assert operator.products == 1


def test_no_more_products_than_allowed() -> None:
    """What was found by then is approached from below."""
    operator = Counted(*np.linspace(1, 100, 60))
    assert 50 < largest_eigenvalue(operator, operator.start, 3) < 100
    assert operator.products == 3


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_product_that_is_not_finite_gives_no_number(bad: float) -> None:
    """It must not come out as large, nor as small."""
    operator = Counted(1.0, 2.0, 3.0, 4.0, 5.0)
    operator.matrix[0, 0] = bad
    assert math.isnan(largest_eigenvalue(operator, operator.start, 10))
