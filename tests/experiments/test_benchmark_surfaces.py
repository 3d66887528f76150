"""The benchmark's worlds: the answer they claim is the one that their trials show."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.frontier_benchmark.families import Family
from experiments.frontier_benchmark.world import World
from experiments.frontier_benchmark.worlds import FAMILIES, KNOWN, NEW, seeds

SIMULATED = {**KNOWN, **NEW}
each_family = pytest.mark.parametrize("family", SIMULATED.values(), ids=SIMULATED)


@each_family
@pytest.mark.parametrize("seed", [100, 101])
def test_failures_become_likelier_than_the_risk_at_the_true_frontier(family: Family, seed: int) -> None:
    world = family(seed)
    for context, truth in enumerate(world.truth_C):
        if truth < world.high:
            assert averaged(world, context, truth + 0.003) > world.risk * 0.97
        for x in np.arange(world.low, truth - 0.003, 0.05):
            assert averaged(world, context, x) <= world.risk * 1.03


def averaged(world: World, context: int, x: float) -> float:
    return float(world.failure_probability(context, np.linspace(x - 0.02, x + 0.02, 81)).mean())


@each_family
def test_trials_fail_as_often_as_the_world_says(family: Family) -> None:
    """Bound: five standard errors of 2,000 trials, on a rate that is neither safe nor hopeless."""
    world, rng = family(100), np.random.default_rng(0)
    x = world.truth_C[0] + 0.1
    failures = [world.sample(0, x, rng).failed for _ in range(2000)]
    expected = float(world.failure_probability(0, np.array(x)))
    assert abs(np.mean(failures) - expected) <= 5 * np.sqrt(expected * (1 - expected) / 2000)


@each_family
def test_a_trial_runs_to_the_horizon_exactly_when_it_survives(family: Family) -> None:
    world, rng = family(100), np.random.default_rng(0)
    trials = [world.sample(c, x, rng) for c in range(12) for x in np.linspace(world.low, world.high, 20)]
    assert all(trial.steps == world.horizon for trial in trials if not trial.failed)
    assert all(1 <= trial.steps <= world.horizon for trial in trials)


@each_family
def test_the_same_seed_gives_the_same_world_and_another_seed_another(family: Family) -> None:
    x = np.linspace(-6, -2, 41)
    first, again, other = (family(seed).failure_probability(3, x) for seed in (100, 100, 101))
    assert np.array_equal(first, again)
    assert family is FAMILIES["everything stable"] or not np.array_equal(first, other)


def test_nothing_and_everything_stable_are_what_they_say() -> None:
    nothing, everything = FAMILIES["nothing stable"](100), FAMILIES["everything stable"](100)
    assert (nothing.truth_C == nothing.low).all()
    assert (everything.truth_C == everything.high).all()


def test_only_fp16_is_dead_where_fp16_is_dead() -> None:
    world = FAMILIES["dead fp16"](100)
    dead = [context.precision for context, x in zip(world.contexts, world.truth_C, strict=True) if x == -6]
    assert dead == ["fp16"] * 4


def test_an_island_lies_below_a_boundary_where_trials_survive_again() -> None:
    world = FAMILIES["islands"](100)
    beyond_X = np.linspace(0.2, 0.6, 41)
    lowest = [world.failure_probability(c, truth + beyond_X).min() for c, truth in enumerate(world.truth_C)]
    assert 3 <= sum(failure < world.risk for failure in lowest) <= 9


def test_development_never_sees_a_published_world() -> None:
    assert not set(seeds("tuning", 900)) & set(seeds("held-out", 900))
