"""What each knob buys: by what factor a value of it moves the safe learning rate.

Shape letters: N draws, P pairs of contexts that differ in nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stabsearch.frontier.curve import Floats
from stabsearch.records import PRECISIONS, Context
from stabsearch.records.hyperparameters import HYPERPARAMETERS, IN_CONTEXT, Value

_PRECISION_ORDER: dict[str, int] = {name: place for place, name in enumerate(PRECISIONS)}
FACTORS: tuple[str, ...] = tuple(row.name for row in IN_CONTEXT)


@dataclass(frozen=True)
class Effect:
    """How one value of a factor moves the frontier, all else equal."""

    factor: str
    """Name of a hyperparameter."""
    value: Value
    baseline: Value
    """What it is compared with: fp32 or the first precision, the shortest warmup, the weakest clip, of
    others the value most like the usual one."""
    ratio: float
    """Posterior median of the factor on the frontier's learning rate; 2: twice as high."""
    ratio_low: float
    """Lower end of its credible interval."""
    ratio_high: float
    """Upper end of its credible interval."""
    num_pairs: int
    """Pairs of contexts it rests on: both bounded, equal in everything else."""

    @property
    def is_clear(self) -> bool:
        """True when the interval leaves no doubt about the direction."""
        return self.ratio_low > 1 or self.ratio_high < 1


def effects_of(
    contexts: Sequence[Context], theta_NC: Floats, is_usable: Sequence[bool], confidence: float
) -> tuple[Effect, ...]:
    """Return the effect of every value of every factor that differs from its baseline.

    Args:
        contexts: the contexts, in the order of the draws.
        theta_NC: joint draws of the thresholds, decades, held to the range.
        is_usable: whether the frontier of a context is known to lie inside the range; a pair with
            one that is not would show the range instead of the effect.
        confidence: probability of the intervals.
    """
    return tuple(
        effect
        for factor in FACTORS
        for effect in _effects_of_factor(factor, contexts, theta_NC, is_usable, confidence)
    )


def _effects_of_factor(
    factor: str,
    contexts: Sequence[Context],
    theta_NC: Floats,
    is_usable: Sequence[bool],
    confidence: float,
) -> Iterator[Effect]:
    present = dict.fromkeys(getattr(context, factor) for context in contexts)
    values = _from_baseline(factor, [value for value in present if value is not None])
    for value in values[1:]:
        pairs = [
            (contexts.index(other), position)
            for position, context in enumerate(contexts)
            if getattr(context, factor) == value
            and (other := context._replace(**{factor: values[0]})) in contexts
        ]
        usable = [(a, b) for a, b in pairs if is_usable[a] and is_usable[b]]
        if usable:
            yield _effect(factor, value, values[0], theta_NC, usable, confidence)


def _effect(
    factor: str,
    value: Any,
    baseline: Any,
    theta_NC: Floats,
    pairs: Sequence[tuple[int, int]],
    confidence: float,
) -> Effect:
    shift_NP = np.stack([theta_NC[:, b] - theta_NC[:, a] for a, b in pairs], axis=1)
    tail = (1 - confidence) / 2
    low, median, high = 10.0 ** np.quantile(shift_NP.mean(1), [tail, 0.5, 1 - tail])
    return Effect(factor, value, baseline, float(median), float(low), float(high), len(pairs))


def _from_baseline(factor: str, values: Sequence[Any]) -> list[Any]:
    """Return the values of a factor in order, the baseline first."""
    if factor == "precision":
        return sorted(values, key=lambda value: -1 if value == "fp32" else _PRECISION_ORDER.get(value, 99))
    if factor == "max_grad_norm":
        return sorted(values, key=lambda value: -float(value) if value > 0 else -math.inf)
    return HYPERPARAMETERS[factor].by_distance(values)
