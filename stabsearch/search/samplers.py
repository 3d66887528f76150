"""Samplers by the name that a sweep gives them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import get_args

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

from stabsearch.config.search import SamplerName
from stabsearch.errors import UserError
from stabsearch.frontier.hints import PriorHint
from stabsearch.frontier.problem import Goal
from stabsearch.search.even_grid import EvenGridSampler
from stabsearch.search.frontier_sampler import FrontierSampler
from stabsearch.search.numbered_random import NumberedRandomSampler, numbered_seed
from stabsearch.search.told import EvidenceSource

SAMPLER_NAMES: tuple[str, ...] = get_args(SamplerName)
INTENSITY = "learning_rate"
_WHOLE_STUDY = frozenset({"grid", "qmc"})
"""Samplers whose trials are parts of one sequence, which the seed decides."""


def sampler_seed(name: str, seed: int, number: int) -> int:
    """Return the seed to make a trial's sampler with, so that a resumed sweep proposes the same.

    A sampler's random state dies with its process. Made anew for each trial with a seed of that
    trial's number, it needs none; ``grid`` and ``qmc`` go through one sequence and keep one seed.
    """
    return seed if name in _WHOLE_STUDY else numbered_seed(seed, number)


def make_sampler(
    name: str,
    seed: int,
    *,
    max_failure_probability: float,
    search_space: Mapping[str, BaseDistribution],
    evidence: EvidenceSource | None = None,
    grid_levels: int = 11,
    goal: Goal = "map",
    hints: Sequence[PriorHint] = (),
) -> BaseSampler:
    """Return a new sampler, of which nothing has to be kept from one trial to the next.

    Args:
        name: one of ``SAMPLER_NAMES``.
        seed: as ``sampler_seed`` gives it.
        max_failure_probability: what the frontier sampler's frontier is defined by.
        search_space: all parameters, ``learning_rate`` among them.
        evidence: what finished trials prove; only the frontier sampler asks, the others see the
            values that the study was told.
        grid_levels: learning rates of the grid, evenly spaced on the logarithmic axis.
        goal: what the frontier sampler spends trials on; the others have none.
        hints: what it knows beforehand of where frontiers lie.

    Raises:
        UserError: a name that is not known, or ``gp`` where torch is not installed.
    """
    if name == "frontier":
        return FrontierSampler(
            INTENSITY, max_failure_probability, seed,
            search_space=search_space, evidence=evidence, goal=goal, hints=hints,
        )  # fmt: skip
    if name == "grid":
        return EvenGridSampler(search_space, {INTENSITY: grid_levels}, seed)
    return _optuna_sampler(name, seed)


def _optuna_sampler(name: str, seed: int) -> BaseSampler:
    match name:
        case "random":
            return RandomSampler(seed)
        case "tpe":
            return TPESampler(seed=seed)
        case "gp":
            return _gp_sampler(seed)
        case "qmc":
            return _qmc_sampler(seed)
    raise UserError(f"unknown sampler {name!r}", f"known: {', '.join(sorted(SAMPLER_NAMES))}")


def _qmc_sampler(seed: int) -> BaseSampler:
    others = NumberedRandomSampler(seed)
    with warnings.catch_warnings():
        # it says so once per sampler, and a sampler is made per proposal
        warnings.simplefilter("ignore", ExperimentalWarning)
        return QMCSampler(
            seed=seed, scramble=True, independent_sampler=others, warn_independent_sampling=False
        )


def _gp_sampler(seed: int) -> BaseSampler:
    if find_spec("torch") is None:  # Optuna would say so at the first proposal, in mid-sweep
        raise UserError("sampler 'gp' needs torch", "install torch, or choose another sampler")
    return GPSampler(seed=seed)
