"""Trials that a growing failure probability cannot explain."""

from __future__ import annotations

import math

import numpy as np
from engine_samples import BRACKET, evidence_of
from frontier_samples import FP32, RANGE, table

from stabsearch.frontier import fit
from stabsearch.frontier.monotone import is_contradicted, smallest_p_value

LAPSE = 0.02
ISLAND = [(-5.0, True), (-4.95, True), (-5.05, True), (-4.9, True)]
CALM = [(-4.5 + 0.05 * i, False) for i in range(12)]


def test_an_island_of_failures_is_flagged_in_the_table() -> None:
    """Four failures a decade below a frontier that survives everything in between."""
    trials = [(x, FP32, failed) for x, failed in [*ISLAND, *CALM, *[(-3.2, True)] * 4]]
    assert fit(table(trials), 0.1, RANGE).table["non_monotone"].tolist() == [True]


def test_failures_above_survivors_contradict_nothing() -> None:
    """However many there are."""
    assert smallest_p_value(evidence_of(BRACKET * 10)) > 0.4
    assert not is_contradicted(evidence_of(BRACKET * 10), -4.2, LAPSE)


def test_one_odd_failure_far_below_is_a_lapse_two_are_not() -> None:
    """Below the lower bound by 0.3 decades."""
    assert not is_contradicted(evidence_of([(-5.0, True), *BRACKET]), -4.3, LAPSE)
    assert is_contradicted(evidence_of([(-5.0, True), (-4.8, True), *BRACKET]), -4.3, LAPSE)


def test_a_dead_context_is_not_called_non_monotone() -> None:
    """It fails at any rate, and its threshold has no lower bound."""
    assert not is_contradicted(
        evidence_of([(-5.8 + 0.3 * i, i % 4 != 1) for i in range(12)]), -math.inf, LAPSE
    )


def test_no_trials_contradict_nothing() -> None:
    """Nor does a single one."""
    assert smallest_p_value(()) == 1.0
    assert smallest_p_value(evidence_of([(-4.0, True)])) == 1.0


def test_monotone_contexts_are_flagged_in_at_most_one_of_fifty() -> None:
    """A thousand simulated contexts of 40 or 200 trials around a logistic boundary of slope 6 to 30,
    two in a hundred of which fail whatever the rate is.
    """
    rng = np.random.default_rng(0)
    flagged = 0
    for _ in range(1000):
        slope = rng.uniform(6, 30)
        count = int(rng.choice([40, 200]))
        x_N = rng.normal(-4.0, 0.5, count)
        failed_N = rng.random(count) < LAPSE + (1 - LAPSE) / (1 + np.exp(-slope * (x_N + 4.0)))
        frontier = -4.0 - math.log(9) / slope
        flagged += is_contradicted(
            evidence_of(list(zip(x_N.tolist(), failed_N.tolist(), strict=True))), frontier, LAPSE
        )
    assert flagged <= 20
