"""stabsearch with hints beforehand, as good as they were measured to be on real models.

What a ramp costs is not charged: at most one horizon per precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from experiments.frontier_benchmark.world import World
from stabsearch.frontier.hints import RAMP_SD, PriorHint

_RAMP_ERROR = 0.25  # decades; measured 0.21 over models, see experiments/LOG.md of 2026-11-23
_MODEL_SHIFT, _CONTEXT_SHIFT = 0.3, 0.15  # decades; chosen: another data set, the same model family
_EARLIER_SD = 0.45  # decades; a sweep's interval doubled, and 0.3 more


def as_ramps(world: World, seed: int) -> tuple[PriorHint, ...]:
    """Return one hint per precision with a frontier inside the range: a ramp in a dead one says nothing."""
    rng = np.random.default_rng([seed, 11])
    hints = []
    for precision, theta in _means(world):
        error = rng.normal(0, _RAMP_ERROR)
        if theta > world.low:
            hints.append(PriorHint(precision, theta + error, RAMP_SD))
    return tuple(hints)


def as_earlier_sweep(world: World, seed: int) -> tuple[PriorHint, ...]:
    """Return one hint per context with a frontier inside the range, all moved together and each a bit."""
    rng = np.random.default_rng([seed, 12])
    shift = rng.normal(0, _MODEL_SHIFT)
    own_C = rng.normal(0, _CONTEXT_SHIFT, len(world.contexts))
    return tuple(
        PriorHint(context.precision, float(theta + shift + own), _EARLIER_SD, context)
        for context, theta, own in zip(world.contexts, world.truth_C, own_C, strict=True)
        if world.low < theta < world.high
    )


def _means(world: World) -> Sequence[tuple[str, float]]:
    """Return each precision with the mean of its contexts' frontiers."""
    of: dict[str, list[float]] = {}
    for context, theta in zip(world.contexts, world.truth_C, strict=True):
        of.setdefault(context.precision, []).append(float(theta))
    return [(precision, math.fsum(thetas) / len(thetas)) for precision, thetas in of.items()]
