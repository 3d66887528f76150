"""How a candidate is confirmed: where its fresh seeds run, how many it needs, what they prove."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stabsearch.frontier.answer import Recommendation
from stabsearch.frontier.confirmation import failure_bound, relieved_bound, stress_trials
from stabsearch.frontier.curve import SLOPES_S
from stabsearch.frontier.fit import refit
from stabsearch.frontier.frontier import Frontier
from stabsearch.frontier.labels import relabel
from stabsearch.frontier.rounds import Round
from stabsearch.records import OutcomeRules, TrialRecord

Kind = Literal["plain", "stress"]
MIN_STRESS_TRIALS = 5  # chosen: no slope is trusted so far that one or two seeds would do


@dataclass(frozen=True)
class Confirming:
    """How candidates are confirmed."""

    required: int
    """Fresh seeds that must all survive at the candidate's own learning rate; 0: none is confirmed."""
    kind: Kind = "plain"
    """``stress``: fewer seeds, at a learning rate above the candidate's."""
    stress_margin: float = 0.2
    """How far above, decades."""
    is_number_given: bool = False
    """True: ``required`` is the user's number, and holds for a stress test too."""
    max_rounds: int = 5
    """Candidates that may fail before the sweep abstains."""
    confidence: float = 0.9
    """Of the bound."""
    bridge_trials: int = 0
    """Trials on the confirmed candidate that go on past the horizon."""
    bridge_horizon: int = 0
    """Optimizer steps of these."""

    @property
    def most_trials(self) -> int:
        """Return how many trials a round takes, if its slope is the shallowest there is."""
        if self.kind == "plain" or self.is_number_given:
            return self.required + self.bridge_trials
        split = math.log1p(-halved(self.confidence)) / math.log1p(-self.confidence)
        return math.ceil(split * self.required / _ratio(SLOPES_S[0], self.stress_margin)) + self.bridge_trials

    def tested_rate(self, candidate: Recommendation, highest: float) -> float:
        """Return where the fresh seeds of a candidate run.

        The candidate's own learning rate where the stressed one would leave the searched range:
        nothing is known there.
        """
        if self.kind == "plain":
            return candidate.learning_rate
        stressed = float(f"{candidate.learning_rate * 10**self.stress_margin:.3g}")
        return stressed if stressed <= highest else candidate.learning_rate


@dataclass(frozen=True)
class Certificate:
    """What a round has to show, and what its survivors prove."""

    required: int
    """Fresh seeds that must all survive."""
    slope: float | None = None
    """Nats of log-hazard per decade that a stress test relies on; None: it relies on none."""
    hazard_ratio: float = 1.0
    """How many times as high the hazard is, at least, where the seeds ran."""
    lapse: float = 0.0
    """Failure probability that no slope reduces: a stress test cannot show less."""

    def bound(self, survived: int, confidence: float) -> float:
        """Return the upper confidence bound of the candidate's failure probability, none having failed.

        A stress test may be wrong by its slope or by luck: each takes half of the doubt.
        """
        if self.slope is None:
            return failure_bound(0, survived, confidence)
        bound = relieved_bound(failure_bound(0, survived, halved(confidence)), self.hazard_ratio)
        return max(bound, self.lapse)


def halved(confidence: float) -> float:
    """Return the confidence whose doubt is half as large.

    >>> halved(0.9)
    0.95
    """
    return 1 - (1 - confidence) / 2


def certificate_of(
    tested: Round, seen: Sequence[TrialRecord], frontier: Frontier, confirming: Confirming,
    rules: OutcomeRules,
) -> Certificate:  # fmt: skip
    """Return what a round has to show.

    A stress test leans on the slope in its context: on the lower end of its credible interval, as
    the trials before the round show it. Its own seeds have no say in how many of them it needs.

    Args:
        tested: the round.
        seen: records as they stood at the horizon that all trials share.
        frontier: of the same search; gives risk, confidence, range and contexts.
        confirming: what was asked for.
        rules: thresholds for labels, in which later trials have no say either.
    """
    if not tested.is_stressed:
        return Certificate(confirming.required)
    before = refit(frontier, relabel([r for r in seen if r.plan.number < tested.first], rules))
    position = [trials.context for trials in before.trials].index(tested.context)
    slope = before.posterior.slope(position, (1 - before.confidence) / 2)
    ratio = _ratio(slope, math.log10(tested.tested / tested.learning_rate))
    needed = stress_trials(before.max_failure_probability, halved(before.confidence), ratio)
    required = confirming.required if confirming.is_number_given else max(needed, MIN_STRESS_TRIALS)
    return Certificate(required, slope, ratio, before.posterior.curve.failure_lapse)


def _ratio(slope: float, decades: float) -> float:
    return math.exp(slope * decades)
