"""Optuna's own tests for samplers, over the samplers of this room."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from stabsearch.search.even_grid import EvenGridSampler
from stabsearch.search.frontier_sampler import FrontierSampler
from stabsearch.search.numbered_random import NumberedRandomSampler

pytestmark = pytest.mark.filterwarnings("ignore:trial .* says nothing about stability")


class TestFrontierSamplerWithoutItsIntensity(
    BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase
):
    """In these studies nothing is called learning_rate: it samples at random, correctly."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return FrontierSampler


class TestFrontierSamplerOnX(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    """With the studies' own parameter as its intensity, its proposals are put to the test."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: FrontierSampler("x", seed=1)


class TestNumberedRandomSampler(BasicSamplerTestCase):
    """The random sampler without state; like Optuna's own, it has no relative search space."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: NumberedRandomSampler(1)


class TestEvenGridSampler(BasicSamplerTestCase):
    """The grid, in studies whose parameters are not its own."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        space = {
            "learning_rate": FloatDistribution(1e-5, 1.0, log=True),
            "precision": CategoricalDistribution(["fp32", "bf16"]),
        }
        return lambda: EvenGridSampler(space, {"learning_rate": 5}, 1)
