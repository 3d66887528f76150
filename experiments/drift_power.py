"""How often `stabsearch drift` cries wolf, and what it sees: `python -m experiments.drift_power`.

Sweeps on simulated worlds of the frontier benchmark, four contexts of each: 40 trials of the search, then
rounds of 22 fresh seeds.
Each confirmed answer is tested once per shift, in the same world moved by a factor. Intervals: Wilson, 95 %.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import NamedTuple, cast

import numpy as np
import optuna
from scipy.stats import binomtest

from experiments.frontier_benchmark import families
from experiments.frontier_benchmark.loop import Run
from experiments.frontier_benchmark.methods.base import Point
from experiments.frontier_benchmark.methods.frontier import FrontierEstimator
from experiments.frontier_benchmark.methods.registry import METHODS
from experiments.frontier_benchmark.surfaces import Surface
from stabsearch.frontier import Frontier
from stabsearch.frontier.answer import Recommendation
from stabsearch.frontier.drift import TRIALS, Drift, Probe, Standing

FAMILIES = ("smooth", "steep", "shallow", "fractal")
FACTORS = (1.0, 1 / 2, 1 / 4, 4.0)
SEARCH, SEEDS, ROUNDS = 40, 22, 3  # trials of the search, fresh seeds of a round, rounds at most
AT_A_TIME = 2  # trials in flight: a small machine


class Ending(NamedTuple):
    """How a drift ended."""

    standing: Standing
    num_trials: int


def narrowed(world: Surface) -> Surface:
    """Return a world with its four contexts of fp32 and bf16 that clip."""
    is_kept = np.array([c.precision != "fp16" and c.max_grad_norm > 0 for c in world.contexts])
    return replace(
        world,
        centre_C=world.centre_C[is_kept],
        slope_C=world.slope_C[is_kept],
        degraded_offset_C=world.degraded_offset_C[is_kept],
        phase_CJ=None if world.phase_CJ is None else world.phase_CJ[is_kept],
        contexts=tuple(itertools.compress(world.contexts, is_kept)),
    )


def old_answer(world: Surface, seed: int) -> tuple[Frontier, Recommendation] | None:
    """Return the frontier and the confirmed configuration of a sweep; None when nothing was confirmed."""
    method = METHODS["stabsearch"].make(world, seed)
    run = Run(world, method, seed)
    for _ in run.until(math.inf):
        if run.num_trials >= SEARCH:
            break
    estimator, rng = cast(FrontierEstimator, method.estimator), np.random.default_rng([seed, 1])
    for _ in range(ROUNDS):
        best = estimator.frontier().recommend()
        if best is None:
            return None
        point = Point(list(world.contexts).index(best.context), math.log10(best.learning_rate))
        if _survives(world, point, estimator, rng):
            return estimator.frontier(), best
    return None


def _survives(world: Surface, point: Point, estimator: FrontierEstimator, rng: np.random.Generator) -> bool:
    """Return whether all fresh seeds of a round survive; all of them are evidence."""
    for _ in range(SEEDS):
        trial = world.sample(point.context, point.x, rng)
        estimator.learn(point, trial)
        if trial.failed:
            return False
    return True


def drifted(frontier: Frontier, best: Recommendation, world: Surface, seed: int, most: int) -> Ending:
    """Return how a drift ends in a world."""
    drift, rng = Drift(frontier, best), np.random.default_rng([seed, 2])
    probes: list[Probe] = []
    in_flight: list[Probe] = []
    number = 0
    while True:
        if drift.judge(probes).standing is not Standing.OPEN:
            return Ending(drift.judge(probes).standing, number)
        while len(in_flight) < AT_A_TIME and number < most:
            position, x = drift.next(probes, number)
            context = list(world.contexts).index(frontier.trials[position].context)
            in_flight.append(Probe(position, x, world.sample(context, x, rng).failed))
            number += 1
        if not in_flight:
            return Ending(Standing.OPEN, number)
        probes.append(in_flight.pop(0))


def endings(family: str, seed: int, factors: Sequence[float], most: int) -> dict[float, Ending]:
    """Return how a drift of one sweep ends for each shift; empty when the sweep confirmed nothing."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    world = narrowed(cast(Surface, getattr(families, family)(seed)))
    answer = old_answer(world, seed)
    if answer is None:
        return {}
    return {
        factor: drifted(*answer, replace(world, centre_C=world.centre_C + math.log10(factor)), seed, most)
        for factor in factors
    }


def share(number: int, total: int) -> str:
    """Return a share in percent with its interval.

    >>> share(3, 100)
    '3.0 (1.0 to 8.5)'
    """
    low, high = binomtest(number, total).proportion_ci(0.95, "wilson")
    return f"{100 * number / total:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def main() -> None:
    """Print a row per family and shift."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=20, help="per family")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--processes", type=int, default=1)
    chosen = parser.parse_args()
    cells = list(itertools.product(FAMILIES, range(chosen.sweeps)))
    with ProcessPoolExecutor(chosen.processes) as pool:
        run = partial(endings, factors=FACTORS, most=chosen.trials)
        ended = list(pool.map(run, *zip(*cells, strict=True)))
    print("| worlds | moved by | no longer holds, % | holds, % | moved up, % | open, % | trials, mean |")
    print("|---|---|---|---|---|---|---|")
    for family, factor in itertools.product([*FAMILIES, "all"], FACTORS):
        of = zip(cells, ended, strict=True)
        found = [each[factor] for (name, _), each in of if each and family in {name, "all"}]
        print(f"| {family} | {factor:.3g} | {_row(found)} |", flush=True)


def _row(found: Sequence[Ending]) -> str:
    if not found:
        return "no sweep of these was confirmed | | | |"
    counts = Counter(ending.standing for ending in found)
    kinds = (Standing.SHRANK, Standing.HOLDS, Standing.GREW, Standing.OPEN)
    shares = " | ".join(share(counts[kind], len(found)) for kind in kinds)
    return f"{shares} | {np.mean([ending.num_trials for ending in found]):.1f}"


if __name__ == "__main__":
    main()
