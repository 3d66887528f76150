"""Every family by name, and which seeds are for development and which for the published numbers."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType

from experiments.frontier_benchmark import families, recorded
from experiments.frontier_benchmark.families import Family

KNOWN = MappingProxyType(
    {
        "smooth": families.smooth,
        "shallow": families.shallow,
        "steep": families.steep,
        "fractal": families.fractal,
        "islands": families.islands,
        "dead fp16": families.dead_fp16,
        "nothing stable": families.nothing_stable,
        "everything stable": families.everything_stable,
    }
)
"""Families that the method was developed on, with other seeds."""

NEW = MappingProxyType(
    {
        "heavy tails": families.heavy_tails,
        "probit": families.probit,
        "strong interactions": families.strong_interactions,
        "saturating": families.saturating,
        "low end": families.low_end,
        "high end": families.high_end,
        "misleading grades": families.mixed_degrading,
    }
)
"""Families that nothing was tuned on."""


def _recorded(name: str, seed: int) -> recorded.RecordedWorld:
    """Return a recorded world; the seed only decides which of its trials a search meets."""
    return next(world for world in recorded.worlds() if world.name == name)


RECORDED = MappingProxyType(
    {f"recorded: {world.name}": partial(_recorded, world.name) for world in recorded.worlds()}
    if recorded.TABLE.exists()
    else {}
)
"""Real fine-tunes, replayed."""

FAMILIES: MappingProxyType[str, Family] = MappingProxyType({**KNOWN, **NEW, **RECORDED})

FIRST_SEED = MappingProxyType({"tuning": 100, "held-out": 2000})
"""Worlds are numbered upwards from here; nobody looks at held-out ones while developing."""


def seeds(group: str, count: int) -> range:
    """Return the seeds of the first worlds of a group.

    >>> seeds("held-out", 3)
    range(2000, 1003)
    """
    return range(FIRST_SEED[group], FIRST_SEED[group] + count)
