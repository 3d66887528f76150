"""How far one frontier lies from another: what two sweeps say of the same contexts.

Shape letters: N pairs of draws, C contexts that both have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from stabsearch.frontier.curve import Floats
from stabsearch.frontier.frontier import Frontier
from stabsearch.frontier.verdict import ContextVerdict
from stabsearch.records import Context

_PAIRINGS = 16  # chosen: with 1,024 draws each, the error of a share is below 0.01
_SEED = 0
_MAX_WIDTH = 2.0  # decades; chosen: an interval of the ratio wider than a hundredfold excludes nothing
Pair = tuple[Context, Context]
"""The same context under its name in the first frontier and in the other."""


class Movement(StrEnum):
    """What two sweeps say of one context's frontier."""

    UP = "up"
    DOWN = "down"
    UNCLEAR = "unclear"
    """Both frontiers are known, and the interval of their ratio contains 1."""
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"
    """Of one of them too little is known to compare."""


@dataclass(frozen=True)
class Shift:
    """By what factor the safe learning rate of another sweep differs from that of the first."""

    movement: Movement
    ratio: float | None = None
    """Posterior median of other / first; where ``is_bound``, the frontier moved at least so far."""
    ratio_low: float | None = None
    """Lower end of its credible interval; 0: perhaps nothing is safe any more."""
    ratio_high: float | None = None
    """Upper end of its credible interval; infinite: perhaps nothing was safe before."""
    probability_down: float | None = None
    """Posterior probability that the frontier lies lower than the first's."""
    probability_up: float | None = None
    is_bound: bool = False
    """One of the two lies outside its searched range, so that the ratio is known from one side only."""


def read_at(frontier: Frontier, max_failure_probability: float, confidence: float) -> Frontier:
    """Return what the same trials say at another risk and confidence."""
    return replace(frontier, max_failure_probability=max_failure_probability, confidence=confidence)


def shifts(first: Frontier, other: Frontier, pairs: Sequence[Pair]) -> tuple[tuple[Shift, ...], Shift]:
    """Return how the frontier moved in each context that both have, and overall.

    The ratio's posterior comes from draws of both posteriors: the draws that each frontier has of its
    thresholds, paired with those of the other in random orders, since the trials of two sweeps are
    independent. A threshold outside its searched range is known from one side: it is held to the
    range, and then only a move that this understates is stated. Overall is the mean over the contexts
    in which both are bounded, on the log scale, from draws joint within each sweep.

    Args:
        first: what the others are compared with.
        other: at the same risk and confidence.
        pairs: contexts of the two.
    """
    if not pairs:
        return (), Shift(Movement.NOT_ENOUGH_EVIDENCE)
    delta_NC = _paired(_held(first, [pair[0] for pair in pairs]), _held(other, [pair[1] for pair in pairs]))
    verdicts = [(_verdict(first, a), _verdict(other, b)) for a, b in pairs]
    confidence = first.confidence
    each = tuple(
        _shift(delta_NC[:, c], *verdict, confidence=confidence) for c, verdict in enumerate(verdicts)
    )
    both = [c for c, verdict in enumerate(verdicts) if set(verdict) == {ContextVerdict.BOUNDED}]
    if not both:
        return each, _agreed(each)
    with np.errstate(invalid="ignore"):
        mean_N = np.nan_to_num(delta_NC[:, both].mean(1), nan=0.0, posinf=math.inf, neginf=-math.inf)
    bounded = ContextVerdict.BOUNDED
    return each, _shift(mean_N, bounded, bounded, confidence=confidence)


def _agreed(each: Sequence[Shift]) -> Shift:
    """Return the direction that all contexts with one share, without a size: none is known on both sides."""
    moves = {shift.movement for shift in each} - {Movement.NOT_ENOUGH_EVIDENCE}
    return Shift(moves.pop() if len(moves) == 1 else Movement.NOT_ENOUGH_EVIDENCE, is_bound=True)


def _position(frontier: Frontier, context: Context) -> int:
    return [trials.context for trials in frontier.trials].index(context)


def _verdict(frontier: Frontier, context: Context) -> ContextVerdict:
    return ContextVerdict(frontier.rows[_position(frontier, context)].verdict)


def _held(frontier: Frontier, contexts: Sequence[Context]) -> Floats:
    """Return draws of the thresholds, decades: [N, C]; of a context outside the range, held to it.

    -inf where a bounded context fails at any rate after all.
    """
    theta_NC = frontier.posterior.draws()[:, [_position(frontier, context) for context in contexts]]
    is_inside = [_verdict(frontier, context) is ContextVerdict.BOUNDED for context in contexts]
    span = frontier.searched
    return np.where(is_inside, theta_NC, np.clip(theta_NC, span.low, span.high))


def _paired(first_NC: Floats, other_NC: Floats) -> Floats:
    """Return the differences of draws of two independent posteriors, decades: [N, C].

    Both sets of draws come from one quasi-random sequence: without new orders they would go together.
    """
    dice = np.random.default_rng(_SEED)
    orders = [dice.permutation(len(other_NC)) for _ in range(_PAIRINGS)]
    with np.errstate(invalid="ignore"):
        delta_NC = np.concatenate([other_NC[order] - first_NC for order in orders])
    # dead in both: no difference
    return np.where(np.isnan(delta_NC), 0.0, delta_NC)


_KNOWN_FROM_BELOW = {ContextVerdict.BOUNDED, ContextVerdict.STABLE_TO_TOP}
_KNOWN_FROM_ABOVE = {ContextVerdict.BOUNDED, ContextVerdict.NO_STABLE_REGION}


def _shift(delta_N: Floats, first: ContextVerdict, other: ContextVerdict, *, confidence: float) -> Shift:
    """Return what draws of the difference say, given what is known of each side."""
    if ContextVerdict.NOT_ENOUGH_EVIDENCE in {first, other}:
        return Shift(Movement.NOT_ENOUGH_EVIDENCE)
    tail = (1 - confidence) / 2
    # an end may be infinite: no interpolation between draws
    low, median, high = np.quantile(delta_N, [tail, 0.5, 1 - tail], method="nearest")
    is_bound = not first == other == ContextVerdict.BOUNDED
    may_be_up = first in _KNOWN_FROM_ABOVE and other in _KNOWN_FROM_BELOW
    may_be_down = first in _KNOWN_FROM_BELOW and other in _KNOWN_FROM_ABOVE
    if low > 0 and may_be_up:
        movement = Movement.UP
    elif high < 0 and may_be_down:
        movement = Movement.DOWN
    elif is_bound or high - low > _MAX_WIDTH:
        return Shift(Movement.NOT_ENOUGH_EVIDENCE, is_bound=is_bound)
    else:
        movement = Movement.UNCLEAR
    return Shift(
        movement,
        ratio=float(10.0**median),
        ratio_low=float(10.0**low),
        ratio_high=float(10.0**high),
        probability_down=float((delta_N < 0).mean()),
        probability_up=float((delta_N > 0).mean()),
        is_bound=is_bound,
    )
