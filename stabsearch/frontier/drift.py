"""Whether an old frontier still holds: where a handful of new trials tells most, and what they say.

Shape letters: N draws of the old posterior, D shifts, C contexts, X candidate intensities. Decades.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, xlogy

from stabsearch.errors import ExitCode
from stabsearch.frontier.answer import Recommendation
from stabsearch.frontier.curve import Floats
from stabsearch.frontier.frontier import Frontier
from stabsearch.frontier.shift import Movement, Shift
from stabsearch.frontier.verdict import ContextVerdict

_STEP = 0.05  # decades; chosen: that of the grid of thresholds
_NONE = 0.1  # decades; chosen: a factor of 1.26 is less than a frontier's own interval
_TWICE = 0.3  # decades; chosen: a factor of 2, which a few trials can tell
_SCATTER = 0.1  # decades; chosen: how differently contexts move
MOST = 1.0
"""Largest shift considered, decades. Chosen: a larger one looks no different near the old frontier."""
AGAINST = 20.0
"""Bayes factor from which a shift is established: if nothing changed, it is reached in one drift of twenty
at most, however often one looks (Ville 1939)."""
FOR = 10.0
"""Bayes factor from which a shift down by some factor is refuted: of frontiers that did move so, one in
ten at most is said to hold. Chosen: 20 would take many more trials."""
DIRECT = (0, 3, 6)
"""Trials that run on the recommended configuration itself, by number; chosen: what cannot be inferred from
other rates is seen there, such as an island of failures."""
_FEWER = 4  # chosen: where a trial goes needs no more than each fourth draw
TRIALS = 16
"""Most trials of a drift by default; chosen: most end earlier, and it is a fifth of a sweep."""
_SEED = 0


class Standing(StrEnum):
    """What the trials of a drift say of the old frontier."""

    HOLDS = "holds"
    """That it moved down by a factor of 2 or more is refuted."""
    GREW = "grew"
    """It lies higher now: what was safe is safe."""
    SHRANK = "shrank"
    """It lies lower now."""
    OPEN = "open"
    """The trials so far do not decide it."""
    UNLEARNED = "unlearned"
    """No trial learned anything, so survivors prove nothing."""

    @property
    def exit_code(self) -> ExitCode:
        """Return what ``stabsearch drift`` exits with."""
        if self is Standing.SHRANK:
            return ExitCode.AGAINST
        return ExitCode.ANSWER if self in {Standing.HOLDS, Standing.GREW} else ExitCode.CANNOT_JUDGE


_MOVED = {Standing.SHRANK: Movement.DOWN, Standing.GREW: Movement.UP}


class Probe(NamedTuple):
    """A trial that tests an old frontier."""

    position: int
    """Of its context, by row of the frontier's table."""
    x: float
    """Log10 learning rate."""
    failed: bool
    has_learned: bool = True
    """Whether it, or a peer of the old sweep, shows what learning looks like: without that, no trial is seen
    to collapse."""


@dataclass(frozen=True)
class Judged:
    """What the trials say, all together."""

    standing: Standing
    shrank_factor: float
    """Bayes factor: how many times as well a frontier that moved down explains the trials as the old one."""
    grew_factor: float
    """The same of a frontier that moved up."""
    doubt: float
    """The same of the shift down by a factor of 2 or more that explains them best."""
    shift: Shift
    """By what factor the safe learning rate differs now. Whether it moved, the standing decides: then ratio
    and interval are those given that it moved so; otherwise no shift has a prior probability of 1/2. The
    probabilities of both directions never take the standing for granted."""
    failure_now: tuple[float, float, float]
    """Failure probability of the recommended configuration now: mean, low, high."""


class Drift:
    """An old frontier under test.

    A trial fails with the probability that one of the old posterior's curves gives it, moved by a shift: none
    (at most 0.1 decades), down, or up (both uniform up to a decade, contexts scattering by 0.1). Each of the
    three has a likelihood, averaged over the old posterior: what the old sweep did not know is held
    against nobody.

    Args:
        frontier: the old one.
        recommended: the configuration that its sweep recommended.
    """

    def __init__(self, frontier: Frontier, recommended: Recommendation) -> None:
        self.frontier, self.recommended = frontier, recommended
        known = [trials.context for trials in frontier.trials]
        self._recommended = known.index(recommended.context)
        self._theta_NC, self._slope_NC = frontier.posterior.curves()
        dice = np.random.default_rng(_SEED)
        self._scatter_NC = _SCATTER * dice.standard_normal(self._theta_NC.shape)
        self._delta_D = _STEP * np.arange(-round(MOST / _STEP), round(MOST / _STEP) + 1)
        self._kind_D = np.where(np.abs(self._delta_D) < _NONE + _STEP / 2, 0, np.sign(self._delta_D))

    @cached_property
    def positions(self) -> tuple[int, ...]:
        """Return the contexts that are tested: the recommended one, and the best of each other precision."""
        limits, best = self.frontier.limits, {self.recommended.context.precision: self._recommended}
        usable = [c for c, limit in enumerate(limits) if not isinstance(limit, str) and self._is_bounded(c)]
        for c in sorted(usable, key=lambda c: (-float(limits[c]), c)):
            best.setdefault(self.frontier.trials[c].context.precision, c)
        return tuple(best.values())

    def _is_bounded(self, position: int) -> bool:
        return self.frontier.rows[position].verdict == ContextVerdict.BOUNDED

    def next(self, probes: Sequence[Probe], number: int) -> tuple[int, float]:
        """Return where the next trial tells most: row of the frontier's table, and log10 learning rate.

        Where its outcome is expected to tell a frontier that moved down from the old one best (mutual
        information), but for the first few of ``DIRECT``, which run on the recommended configuration.

        Args:
            probes: trials that have ended.
            number: how many were proposed before, those in flight included.
        """
        if number in DIRECT:
            return self._recommended, math.log10(self.recommended.learning_rate)
        weight_ND = self._weights(probes)[::_FEWER]
        options = [(self._information(weight_ND, c, x), c, x) for c in self.positions for x in self._rates(c)]
        best = max(gain for gain, _, _ in options)
        return next((c, x) for gain, c, x in options if gain >= best - 1e-9)

    def judge(self, probes: Sequence[Probe]) -> Judged:
        """Return what the trials say so far; may be asked after each of them."""
        weight_ND = self._weights(probes)
        log_none, log_down, log_up = (_log(weight_ND[:, self._kind_D == kind].mean()) for kind in (0, -1, 1))
        log_doubt = _log(weight_ND[:, self._delta_D <= -_TWICE + _STEP / 2].mean(0).max())
        down, up, doubt = (math.exp(min(log - log_none, 300.0)) for log in (log_down, log_up, log_doubt))
        posterior_ND = weight_ND * self._prior
        posterior_ND /= posterior_ND.sum()
        standing = _standing(down, up, doubt)
        if standing is not Standing.SHRANK and probes and not any(probe.has_learned for probe in probes):
            standing = Standing.UNLEARNED
        shift = self._shift(posterior_ND.sum(0), standing)
        return Judged(standing, down, up, doubt, shift, self._now(posterior_ND))

    @property
    def _prior(self) -> Floats:
        """Return the prior of each shift: one half for none, a quarter for each direction."""
        share = {0: 0.5, -1: 0.25, 1: 0.25}
        counts = {kind: int((self._kind_D == kind).sum()) for kind in share}
        return np.array([share[int(kind)] / counts[int(kind)] for kind in self._kind_D])

    def _weights(self, probes: Sequence[Probe]) -> Floats:
        """Return the likelihood of the trials for each curve and shift, up to one factor: [N, D]."""
        log_ND = np.zeros((len(self._theta_NC), len(self._delta_D)))
        for probe in probes:
            failing_ND = self._failing(probe.position, probe.x)
            log_ND += np.log(failing_ND if probe.failed else 1 - failing_ND)
        weight_ND: Floats = np.exp(log_ND - logsumexp(log_ND))
        return weight_ND

    def _failing(self, position: int, x: float, every: int = 1) -> Floats:
        """Return P(fail) of a trial for each (so many-th) curve and shift: [N, D]."""
        moved_ND = self._delta_D + np.outer(self._scatter_NC[::every, position], np.abs(self._kind_D))
        distance_ND = x - self._theta_NC[::every, position, None] - moved_ND
        slope_N11 = self._slope_NC[::every, position, None, None]
        failing_ND: Floats = self.frontier.posterior.curve.failure_probability(distance_ND, slope_N11)[..., 0]
        return failing_ND

    def _rates(self, position: int) -> Floats:
        """Return the intensities worth trying in a context, inside the searched range: [X]."""
        row, span = self.frontier.rows[position], self.frontier.searched
        low, high = (math.log10(rate) for rate in (row.lr_low, row.lr_high))
        x_X = np.arange(low - 0.3, high + 0.6, _STEP)
        return np.unique(np.clip(x_X, span.low, span.high))

    def _information(self, weight_ND: Floats, position: int, x: float) -> float:
        """Return how much one outcome there tells of whether the frontier moved down, nats."""
        failing_ND = self._failing(position, x, _FEWER)
        sums = [
            (part_ND.mean(), (part_ND * failing_ND[:, self._kind_D == kind]).mean())
            for kind in (0, -1)
            if (part_ND := weight_ND[:, self._kind_D == kind]).size
        ]
        total = sum(weight for weight, _ in sums) or 1.0
        share = [weight / total for weight, _ in sums]
        fails = [failed / weight if weight > 0 else 0.5 for weight, failed in sums]
        mixed = sum(s * f for s, f in zip(share, fails, strict=True))
        return float(_entropy(mixed) - sum(s * _entropy(f) for s, f in zip(share, fails, strict=True)))

    def _shift(self, posterior_D: Floats, standing: Standing) -> Shift:
        down, up = (float(posterior_D[self._kind_D == kind].sum()) for kind in (-1, 1))
        movement = _MOVED.get(standing, Movement.UNCLEAR)
        ends = self._ends(posterior_D, movement)
        return Shift(movement, ends[1], ends[0], ends[2], down, up)

    def _ends(self, posterior_D: Floats, movement: Movement) -> tuple[float, float, float]:
        """Return low, median and high of the ratio, given a movement where there is one."""
        kind = {Movement.DOWN: -1, Movement.UP: 1}.get(movement)
        weight_D = posterior_D if kind is None else posterior_D * (self._kind_D == kind)
        cdf_D, tail = np.cumsum(weight_D) / weight_D.sum(), (1 - self.frontier.confidence) / 2
        last = len(weight_D) - 1
        low, middle, high = (
            float(self._delta_D[min(int(np.searchsorted(cdf_D, q)), last)]) for q in (tail, 0.5, 1 - tail)
        )
        return 10**low, 10**middle, 10**high

    def _now(self, posterior_ND: Floats) -> tuple[float, float, float]:
        """Return the failure probability of the recommended configuration: mean, low, high."""
        failing_ND = self._failing(self._recommended, math.log10(self.recommended.learning_rate))
        order = np.argsort(failing_ND, axis=None)
        cdf = np.cumsum(posterior_ND.ravel()[order])
        tail = (1 - self.frontier.confidence) / 2
        ends = (order[min(int(np.searchsorted(cdf, q)), len(cdf) - 1)] for q in (tail, 1 - tail))
        low, high = (float(failing_ND.ravel()[end]) for end in ends)
        return float((failing_ND * posterior_ND).sum()), low, high


def _standing(down: float, up: float, doubt: float) -> Standing:
    if down >= AGAINST and down > up:
        return Standing.SHRANK
    if up >= AGAINST:
        return Standing.GREW
    return Standing.HOLDS if doubt <= 1 / FOR else Standing.OPEN


def _entropy(probability: float) -> float:
    return float(-xlogy(probability, probability) - xlogy(1 - probability, 1 - probability))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
