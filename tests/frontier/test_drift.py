"""Whether an old frontier still holds: where trials are placed, and what they come to."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from frontier_samples import BF16, FP32, RANGE, bracket, table

from stabsearch.errors import ExitCode
from stabsearch.frontier import fit
from stabsearch.frontier.answer import Recommendation
from stabsearch.frontier.drift import AGAINST, DIRECT, FOR, Drift, Judged, Probe, Standing
from stabsearch.frontier.shift import Movement

BOUNDARY = {FP32: -3.5, BF16: -4.5}


@cache
def drift() -> Drift:
    """Two contexts with a boundary that is closely known; fp32 is recommended, half a decade below it."""
    frontier = fit(
        table([row for context, x in BOUNDARY.items() for row in bracket(context, x)]),
        learning_rate_range=RANGE,
    )
    best = frontier.recommend()
    assert best is not None
    return Drift(frontier, best)


def played(moved: float, most: int = 24, tested: Drift | None = None) -> tuple[Judged, list[Probe]]:
    """What a drift comes to where trials fail exactly above the boundary, moved by some decades."""
    tested, probes = tested or drift(), []
    for number in range(most):
        if tested.judge(probes).standing is not Standing.OPEN:
            break
        position, x = tested.next(probes, number)
        boundary = BOUNDARY[tested.frontier.trials[position].context] + moved
        probes.append(Probe(position, x, failed=x > boundary))
    return tested.judge(probes), probes


def test_nothing_is_known_before_the_first_trial() -> None:
    """Every factor is 1, and the risk of the recommended configuration is what the old frontier says."""
    judged = drift().judge([])
    assert judged.standing is Standing.OPEN
    assert (judged.shrank_factor, judged.grew_factor) == (pytest.approx(1), pytest.approx(1))
    assert judged.doubt == pytest.approx(1)
    assert judged.shift.movement is Movement.UNCLEAR
    assert judged.failure_now[1] <= judged.failure_now[0] <= judged.failure_now[2]


def test_an_unchanged_frontier_holds() -> None:
    """As soon as every shift down by a factor of 2 or more is refuted ten to one."""
    judged, probes = played(0.0)
    assert (judged.standing, judged.standing.exit_code) == (Standing.HOLDS, ExitCode.ANSWER)
    assert judged.doubt <= 1 / FOR
    assert len(probes) < 24
    assert Drift(drift().frontier, drift().recommended).judge(probes[:-1]).standing is Standing.OPEN


@pytest.mark.parametrize("moved", [-0.6, -1.0, -2.0])
def test_a_frontier_that_moved_down_is_found(moved: float) -> None:
    """With its size, up to what the trials can tell."""
    judged, _ = played(moved)
    assert (judged.standing, judged.standing.exit_code) == (Standing.SHRANK, ExitCode.AGAINST)
    assert judged.shrank_factor >= AGAINST
    assert judged.shift.movement is Movement.DOWN
    low, high = judged.shift.ratio_low, judged.shift.ratio_high
    assert low is not None
    assert high is not None
    assert low <= 10 ** max(moved, -1.0) <= 1.3 * high
    assert judged.shift.probability_down is not None
    assert judged.shift.probability_down > 0.9


def test_moved_up_is_no_fault() -> None:
    """Survivors far above the old frontier are said, and the exit code is an answer."""
    tested = drift()
    above = [Probe(0, -2.8, failed=False)] * 4
    judged = tested.judge(above)
    assert (judged.standing, judged.standing.exit_code) == (Standing.GREW, ExitCode.ANSWER)
    assert judged.shift.movement is Movement.UP


@pytest.mark.parametrize(
    ("x", "outcomes", "standing", "movement"),
    [
        (None, "FSF", Standing.SHRANK, Movement.DOWN),
        (None, "FFS", Standing.SHRANK, Movement.DOWN),
        (-3.1, "S", Standing.GREW, Movement.UP),
        (-3.0, "S", Standing.GREW, Movement.UP),
        (None, "FSFS", Standing.OPEN, Movement.UNCLEAR),
    ],
)
def test_the_shift_never_contradicts_the_verdict(
    x: float | None, outcomes: str, standing: Standing, movement: Movement
) -> None:
    """A factor just above 20 leaves a tenth for "not moved": the interval is that given the verdict."""
    rate = math.log10(drift().recommended.learning_rate) if x is None else x
    judged = drift().judge([Probe(0, rate, failed=outcome == "F") for outcome in outcomes])
    low, high = judged.shift.ratio_low, judged.shift.ratio_high
    assert (judged.standing, judged.shift.movement) == (standing, movement)
    assert low is not None
    assert high is not None
    assert (high < 0.79, low > 1.26) == (movement is Movement.DOWN, movement is Movement.UP), (
        "beyond no shift"
    )
    down, up = judged.shift.probability_down, judged.shift.probability_up
    assert down is not None
    assert up is not None
    assert down + up < 0.95, "the probabilities take no verdict for granted"


def test_failures_at_the_safe_rate_count_against_it() -> None:
    """Three of five, where one in thirty is expected."""
    tested = drift()
    safe = math.log10(tested.recommended.learning_rate)
    judged = tested.judge([Probe(0, safe, failed=number < 3) for number in range(5)])
    assert judged.standing is Standing.SHRANK
    assert judged.failure_now[0] > 0.3
    one = tested.judge([Probe(0, safe, failed=True)])
    assert one.standing is Standing.OPEN, "one trial proves nothing"


def test_the_recommended_configuration_is_tested_first_and_again() -> None:
    """The first, fourth and seventh trial run on it; the others where they tell more."""
    tested, safe = drift(), drift().recommended.learning_rate
    _, probes = played(0.0)
    direct = [probe for number, probe in enumerate(probes) if number in DIRECT]
    others = [probe for number, probe in enumerate(probes) if number not in DIRECT]
    assert all((probe.position, 10**probe.x) == (0, pytest.approx(safe)) for probe in direct)
    assert all(probe.x > math.log10(safe) for probe in others if probe.position == 0)
    assert {tested.frontier.trials[probe.position].context.precision for probe in probes} <= {"fp32", "bf16"}


def test_contexts_without_a_boundary_are_not_tested() -> None:
    """Nothing is expected of them."""
    frontier = fit(
        table([*bracket(FP32, -3.5), (-5.0, BF16, False)]), learning_rate_range=RANGE, contexts=[FP32, BF16]
    )
    best = frontier.recommend()
    assert best is not None
    assert [frontier.trials[c].context for c in Drift(frontier, best).positions] == [FP32]


def test_survivors_without_a_learner_prove_nothing() -> None:
    """But failures do."""
    safe = math.log10(drift().recommended.learning_rate)
    rates = (safe, -3.6, -3.5, -3.4, -3.3, -3.2)
    silent = [Probe(0, x, failed=False, has_learned=False) for x in rates]
    judged = drift().judge(silent)
    assert (judged.standing, judged.standing.exit_code) == (Standing.UNLEARNED, ExitCode.CANNOT_JUDGE)
    failed = [Probe(0, safe, failed=True, has_learned=False)] * 4
    assert drift().judge(failed).standing is Standing.SHRANK


def test_proposals_and_verdicts_are_the_same_in_every_process() -> None:
    """Nothing is drawn anew."""
    again = Drift(drift().frontier, drift().recommended)
    assert played(-0.6, tested=again) == played(-0.6)


def test_false_alarms_keep_their_bound() -> None:
    """Where the old posterior is right, at most one drift of twenty ever reaches the factor."""
    tested, dice, alarms = drift(), np.random.default_rng(0), 0
    theta_NC, slope_NC = tested.frontier.posterior.curves()
    for _ in range(120):
        draw, probes = dice.integers(len(theta_NC)), []
        for number in range(8):
            position, x = tested.next(probes, number) if number < 3 else (0, -3.45)
            distance = np.array([x - theta_NC[draw, position]])
            curve = tested.frontier.posterior.curve
            fails = float(curve.failure_probability(distance, slope_NC[draw, position : position + 1])[0, 0])
            probes.append(Probe(position, x, failed=bool(dice.random() < fails)))
            if tested.judge(probes).standing is Standing.SHRANK:
                alarms += 1
                break
    assert alarms <= 12, "5 % of 120 is 6; above 12 has a probability below 1 %"


def test_another_recommended_rate_is_tested_where_it_is() -> None:
    """Not where the frontier would recommend."""
    best = Recommendation(FP32, 1e-5, 0.02, 0.02, 0.02)
    assert Drift(drift().frontier, best).next([], 0) == (0, -5.0)
