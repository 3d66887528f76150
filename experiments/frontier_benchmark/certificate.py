"""Confirmation: fresh seeds on the recommended configuration, until all of a round survive."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from experiments.frontier_benchmark.methods.base import Estimator, Point
from experiments.frontier_benchmark.scores import failure_at, regret_of
from experiments.frontier_benchmark.world import World
from stabsearch.frontier import confirmation_trials

CONFIDENCE = 0.9  # chosen: the usual confidence of an operating limit
MAX_ROUNDS = 5  # chosen: each further round weakens what a passed one proves
STEP_DOWN = math.log10(2)  # what a user does whose method cannot learn from it: half the rate
_SEED_STREAM = 8  # chosen: seeds that no search has seen


def certify(world: World, estimator: Estimator, seed: int) -> dict[str, Any]:
    """Return the recommendation before and after confirmation; the estimator is left as it was.

    A failed round ends at its first failure. An estimator that learns from it recommends anew; with
    any other, the learning rate is halved.
    """
    estimator = copy.deepcopy(estimator)
    seeds = (np.random.default_rng([seed, _SEED_STREAM, number]) for number in count())
    point = first = estimator.recommend()
    num_trials = steps = rounds = 0
    is_confirmed = False
    while point is not None and rounds < MAX_ROUNDS and not is_confirmed:
        rounds += 1
        used, trained, is_confirmed = _round(world, estimator, point, seeds)
        num_trials, steps = num_trials + used, steps + trained
        if not is_confirmed:
            point = _next(world, estimator, point)
    final = point if is_confirmed else None
    return {
        "failure_before": failure_at(world, first),
        "regret_before": regret_of(world, first),
        "failure_after": failure_at(world, final),
        "regret_after": regret_of(world, final),
        "rounds": rounds,
        "num_trials": num_trials,
        "cost": steps / world.horizon,
    }


def _round(
    world: World, estimator: Estimator, point: Point, seeds: Iterator[np.random.Generator]
) -> tuple[int, int, bool]:
    """Return how many trials were run, their steps, and whether all that are needed survived."""
    needed, steps = confirmation_trials(world.risk, CONFIDENCE), 0
    for used in range(1, needed + 1):
        trial = world.sample(point.context, point.x, next(seeds))
        estimator.learn(point, trial)
        steps += trial.steps
        if trial.failed:
            return used, steps, False
    return needed, steps, True


def _next(world: World, estimator: Estimator, failed: Point) -> Point | None:
    if estimator.learns_from_confirmation:
        return estimator.recommend()
    lower = Point(failed.context, failed.x - STEP_DOWN)
    return lower if lower.x >= world.low else None
