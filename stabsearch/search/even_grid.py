"""Every combination of a grid, the least tried first."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from stabsearch.search.axis import Axis, Levels
from stabsearch.search.numbered_random import NumberedRandomSampler


class EvenGridSampler(BaseSampler):  # type: ignore[misc]  # Optuna is untyped here
    """Goes through a grid in shuffled order, again and again: each round tries every point once.

    Optuna's own ``GridSampler`` stops the study at the end of its grid, which raises under ask and
    tell, and it gives the numbers of enqueued trials away unused. This one keeps no state: it counts
    what the study has tried.

    Args:
        search_space: all parameters.
        spread: parameters on an even grid over their axis (logarithmic if it says so), and their
            number of points; the others take each of their levels.
        seed: decides the order; the same for all trials of a study.
    """

    def __init__(
        self, search_space: Mapping[str, BaseDistribution], spread: Mapping[str, int], seed: int
    ) -> None:
        self._search_space = dict(search_space)
        values = [
            _even(Axis(distribution), spread[name]) if name in spread else _levels(Levels(distribution))
            for name, distribution in self._search_space.items()
        ]
        names = list(self._search_space)
        points = [dict(zip(names, point, strict=True)) for point in itertools.product(*values)]
        order = np.random.default_rng(seed).permutation(len(points))
        self._points: list[dict[str, Any]] = [points[index] for index in order]
        self._independent = NumberedRandomSampler(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the grid's parameters."""
        return dict(self._search_space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the grid point with the fewest trials, the first of these in shuffled order."""
        others = (t for t in study.get_trials(deepcopy=False) if t.number != trial.number)
        tried = Counter(_key(t.params) for t in others)
        fewest = min(self._points, key=lambda point: tried[_key(point)])
        return dict(fewest)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value, for parameters that the grid does not hold."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)


def _even(axis: Axis, count: int) -> list[float | int]:
    return list(dict.fromkeys(axis.value(float(x)) for x in np.linspace(axis.low, axis.high, count)))


def _levels(levels: Levels) -> list[Any]:
    middle = np.random.default_rng(0)  # decides inside the bins of a numeric parameter only
    return [levels.draw(level, middle) for level in range(levels.count)]


def _key(params: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset(params.items())
