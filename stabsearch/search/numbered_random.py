"""Random values that depend on seed, trial number and parameter name only."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial


def numbered_seed(seed: int, *numbers: int) -> int:
    """Return a 32-bit seed for one purpose; the same in every process.

    >>> numbered_seed(0, 1) == numbered_seed(0, 1) != numbered_seed(0, 2)
    True
    """
    return int(np.random.SeedSequence([seed, *numbers]).generate_state(1)[0])


class NumberedRandomSampler(BaseSampler):  # type: ignore[misc]  # Optuna is untyped here
    """An Optuna sampler without state: a resumed process draws what an undisturbed one would."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return nothing: every parameter is drawn by itself."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing: every parameter is drawn by itself."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value, even over the distribution (over its logarithm if it says so)."""
        seed = numbered_seed(self._seed, trial.number, zlib.crc32(param_name.encode()))
        return RandomSampler(seed).sample_independent(study, trial, param_name, param_distribution)
