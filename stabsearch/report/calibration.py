"""How well the model's failure probabilities agree with what happened."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scipy.stats import binomtest

from stabsearch.frontier import Frontier
from stabsearch.frontier.fit import fit_records
from stabsearch.records import Stage, TrialRecord

EDGES = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)  # chosen: finer where a recommendation can lie


@dataclass(frozen=True)
class Group:
    """Trials that the model gave about the same chance to fail."""

    low: float
    high: float
    num_trials: int
    num_failed: int
    expected: float
    """Mean failure probability that the model states, over these trials."""
    observed_low: float
    """Lower end of the confidence interval of the share that failed (Clopper and Pearson 1934)."""
    observed_high: float

    @property
    def observed(self) -> float:
        """Return the share that failed."""
        return self.num_failed / self.num_trials

    @property
    def agrees(self) -> bool:
        """True when what was expected lies inside the interval of what was seen."""
        return self.observed_low <= self.expected <= self.observed_high


@dataclass(frozen=True)
class Calibration:
    """What the model stated and what happened, for the trials it was fitted on and for fresh ones."""

    groups: tuple[Group, ...]
    """Every trial that is evidence; the model was fitted on these very trials."""
    fresh: Group | None
    """Confirmation trials, as the model fitted without them foresaw them; None: there were none."""
    confidence: float

    @property
    def num_agreeing(self) -> int:
        """Return in how many groups expected and observed agree."""
        return sum(group.agrees for group in self.groups)


def calibration_of(frontier: Frontier, records: Sequence[TrialRecord]) -> Calibration:
    """Return how model and trials agree.

    Args:
        frontier: fitted to the records.
        records: as the frontier sees them, at the horizon that all share; those that prove nothing are left
            out.
    """
    told = [record for record in records if record.is_evidence]
    pairs = _predicted(frontier, told)
    groups = [
        _group(
            low, high, [pair for pair in pairs if low <= pair[0] < high or pair[0] == high == 1.0], frontier
        )
        for low, high in pairwise(EDGES)
    ]
    return Calibration(tuple(filter(None, groups)), _fresh(frontier, told), frontier.confidence)


def _predicted(frontier: Frontier, records: Iterable[TrialRecord]) -> list[tuple[float, bool]]:
    """Return for each trial what the model states, and whether it failed."""
    places = {row.context: place for place, row in enumerate(frontier.rows)}
    return [
        (
            frontier.posterior.failure_probability(
                places[record.plan.context], math.log10(record.plan.learning_rate)
            ),
            record.outcome.is_failure,
        )
        for record in records
        if record.plan.context in places
    ]


def _group(low: float, high: float, pairs: Sequence[tuple[float, bool]], frontier: Frontier) -> Group | None:
    if not pairs:
        return None
    num_failed = sum(failed for _, failed in pairs)
    interval = binomtest(num_failed, len(pairs)).proportion_ci(frontier.confidence, method="exact")
    expected = math.fsum(probability for probability, _ in pairs) / len(pairs)
    ends = float(interval.low), float(interval.high)
    return Group(low, high, len(pairs), num_failed, min(expected, 1.0), *ends)


def _fresh(frontier: Frontier, records: Sequence[TrialRecord]) -> Group | None:
    """Return the confirmation trials, foreseen by a frontier that was fitted without them."""
    held_out = [record for record in records if record.plan.stage is Stage.CONFIRM]
    if not held_out:
        return None
    before = fit_records(
        [record for record in records if record.plan.stage is not Stage.CONFIRM],
        frontier.max_failure_probability,
        frontier.learning_rate_range,
        frontier.confidence,
        [row.context for row in frontier.rows],
        frontier.hints,
    )
    return _group(0.0, 1.0, _predicted(before, held_out), frontier)
