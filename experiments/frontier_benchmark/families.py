"""Families of simulated worlds: one number, the world's seed, draws a member.

Shape letters: C contexts, J octaves of roughness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from experiments.frontier_benchmark.surfaces import CONTEXTS, OCTAVES, Surface
from experiments.frontier_benchmark.world import Floats, World

Family = Callable[[int], World]
"""From a world's seed to the world."""

_PRECISION_C = np.array([{"fp32": 0, "bf16": 1, "fp16": 2}[context.precision] for context in CONTEXTS])
_WARMUP_C = np.array([int(context.warmup_steps > 0) for context in CONTEXTS])
_CLIP_C = np.array([int(context.max_grad_norm > 0) for context in CONTEXTS])
_NUM = len(CONTEXTS)


@dataclass(frozen=True)
class _Drawn:
    """A smooth world, and the random numbers that make another family of it."""

    surface: Surface
    rough_phase_CJ: Floats
    floor_C: Floats
    rng: np.random.Generator


def _drawn(family: int, seed: int, slope: tuple[float, float] = (14.0, 0.4), islands: bool = False) -> _Drawn:
    """Return the smooth member of a family, with slopes of this median and log standard deviation.

    The order of the draws is fixed: it decides which worlds the published numbers are about.
    """
    rng = np.random.default_rng([family, seed])
    middle = rng.uniform(-4.7, -3.3)
    precision = np.array([0.0, -rng.uniform(0.0, 0.2), -rng.uniform(0.1, 0.7)])
    warmup = rng.uniform(0.05, 0.7)
    clip = rng.uniform(0.0, 0.5)
    interaction_C = rng.normal(0, 0.15, _NUM)
    centre_C = middle + precision[_PRECISION_C] + warmup * _WARMUP_C + clip * _CLIP_C + interaction_C
    median, log_sd = slope
    slope_C = median * np.exp(rng.normal(0, log_sd, _NUM))
    phase_CJ = rng.uniform(0, 2 * np.pi, (_NUM, OCTAVES))
    island_C = _islands(centre_C, rng) if islands else None
    floor_C = rng.uniform(0.6, 1.0, _NUM)
    offset_C = 0.25 * np.exp(rng.normal(0, 0.3, _NUM))
    surface = Surface(centre_C, slope_C, offset_C, island_C=island_C)
    return _Drawn(surface, phase_CJ, floor_C, rng)


def _islands(centre_C: Floats, rng: np.random.Generator) -> Floats:
    present_C = rng.random(_NUM) < 0.5
    island_C: Floats = np.where(present_C, centre_C - rng.uniform(0.6, 1.2, _NUM), np.nan)
    return island_C


def smooth(seed: int) -> World:
    """Logistic curves of slope 14, 0.15 decades of interaction between contexts."""
    return _drawn(0, seed).surface


def shallow(seed: int) -> World:
    """Slope 6 and two failures in a hundred wherever one looks."""
    return replace(_drawn(1, seed, slope=(6.0, 0.3)).surface, background=0.02)


def steep(seed: int) -> World:
    """Slope 35: a few hundredths of a decade from safe to broken."""
    return _drawn(2, seed, slope=(35.0, 0.3)).surface


def fractal(seed: int) -> World:
    """Smooth curves with 2.5 logits of roughness at every scale."""
    drawn = _drawn(3, seed)
    return replace(drawn.surface, roughness=2.5, phase_CJ=drawn.rough_phase_CJ)


def islands(seed: int) -> World:
    """In half of the contexts an island of failures 0.6 to 1.2 decades below the boundary."""
    return _drawn(4, seed, islands=True).surface


def dead_fp16(seed: int) -> World:
    """Every fp16 context fails at any learning rate; the others are smooth."""
    drawn = _drawn(5, seed)
    return replace(drawn.surface, floor_C=np.where(_PRECISION_C == 2, drawn.floor_C, 0.0))


def nothing_stable(seed: int) -> World:
    """Every context fails at any learning rate."""
    drawn = _drawn(6, seed)
    return replace(drawn.surface, floor_C=drawn.floor_C)


def everything_stable(seed: int) -> World:
    """The boundary lies a decade above the range."""
    surface = _drawn(7, seed).surface
    return replace(surface, centre_C=np.full(_NUM, surface.high + 1.0), slope_C=np.full(_NUM, 12.0))


def heavy_tails(seed: int) -> World:
    """Slopes from 3 to 80 beside each other, and now and then a context far from its neighbours."""
    drawn = _drawn(20, seed)
    slope_C = np.clip(14 * np.exp(0.5 * drawn.rng.standard_t(2, _NUM)), 3, 80)
    centre_C = drawn.surface.centre_C + 0.12 * drawn.rng.standard_t(3, _NUM)
    return replace(drawn.surface, slope_C=slope_C, centre_C=np.clip(centre_C, -5.7, -2.3))


def probit(seed: int) -> World:
    """A normal instead of a logistic curve: thinner tails than any method assumes."""
    return replace(_drawn(21, seed).surface, is_probit=True)


def strong_interactions(seed: int) -> World:
    """Warmup moves the boundary by another half decade in each precision, either way."""
    drawn = _drawn(22, seed)
    shift = drawn.rng.normal(0, 0.5, (3, 2))[_PRECISION_C, _WARMUP_C]
    return replace(drawn.surface, centre_C=np.clip(drawn.surface.centre_C + shift, -5.7, -2.3))


def saturating(seed: int) -> World:
    """However high the learning rate, 15 runs in a hundred survive."""
    return replace(_drawn(23, seed).surface, ceiling=0.85)


def low_end(seed: int) -> World:
    """Boundaries near the lower end of the range; some contexts have no stable region."""
    surface = _drawn(24, seed).surface
    return replace(surface, centre_C=surface.centre_C - surface.centre_C.mean() - 5.4)


def high_end(seed: int) -> World:
    """Boundaries near the upper end of the range; some contexts are stable to the top."""
    surface = _drawn(25, seed).surface
    return replace(surface, centre_C=surface.centre_C - surface.centre_C.mean() - 2.3)


def mixed_degrading(seed: int) -> World:
    """Degraded trials a quarter decade *above* the boundary in half of the contexts: grades mislead."""
    drawn = _drawn(26, seed)
    sign_C = np.where(drawn.rng.random(_NUM) < 0.5, -1.0, 1.0)
    return replace(drawn.surface, degraded_offset_C=sign_C * drawn.surface.degraded_offset_C)
