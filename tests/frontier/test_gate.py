"""Where a configuration stands, on and beside every limit."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
from gate_samples import BOUNDARIES, RANGE, UNSEEN, make_frontier

from stabsearch.frontier import Frontier, fit
from stabsearch.frontier.gate import Standing, gate
from stabsearch.records import Context

HERE = Context("bf16", 0, 1.0)


def test_the_limit_is_what_recommend_goes_up_to() -> None:
    """The recommended configuration is inside, at the edge of it."""
    frontier = make_frontier()
    best = frontier.recommend()
    assert best is not None
    judged = gate(frontier, best.context, best.learning_rate).judged
    assert judged.standing is Standing.INSIDE
    assert judged.safe == best.learning_rate
    assert (judged.failure_probability, judged.probability_low) == (
        best.failure_probability,
        best.probability_low,
    )


@pytest.mark.parametrize("risk", [0.02, 0.05, 0.1, 0.3])
def test_on_the_limit_and_a_hair_above(risk: float) -> None:
    frontier = replace(make_frontier(), max_failure_probability=risk)
    limit = frontier.limits[[each.context for each in frontier.trials].index(HERE)]
    assert isinstance(limit, float)
    assert gate(frontier, HERE, 10**limit).judged.standing is Standing.INSIDE
    assert gate(frontier, HERE, 10 ** (limit + 1e-6)).judged.standing is Standing.NOT_ENOUGH_EVIDENCE


def test_a_stricter_risk_allows_less() -> None:
    loose, strict = (replace(make_frontier(), max_failure_probability=risk) for risk in (0.3, 0.03))
    safe = [gate(frontier, HERE, 1e-5).judged.safe for frontier in (loose, strict)]
    assert None not in safe
    assert safe[1] < safe[0]
    between = math.sqrt(safe[0] * safe[1])
    assert gate(loose, HERE, between).judged.standing is Standing.INSIDE
    assert gate(strict, HERE, between).judged.standing is not Standing.INSIDE


def test_between_the_limit_and_the_frontier_it_is_evidence_that_lacks() -> None:
    frontier = make_frontier()
    row = frontier.rows[[each.context for each in frontier.trials].index(HERE)]
    below, above = row.lr_safe * 0.999, row.lr_safe * 1.001
    assert gate(frontier, HERE, below).judged.standing is Standing.NOT_ENOUGH_EVIDENCE
    judged = gate(frontier, HERE, above).judged
    assert judged.standing is Standing.TOO_RISKY
    assert "above the frontier" in judged.reason


def test_at_a_learning_rate_that_failed_it_is_too_risky() -> None:
    """However many survived there: a failed trial is never let through."""
    rows = [
        {"learning_rate": 10**x, **HERE.settings, "outcome": "stable"}
        for x in (-4.5, -4, -3.5, -3, -2.5, -2) * 6
    ]
    failed = {"learning_rate": 3e-4, **HERE.settings, "outcome": "diverged"}
    frontier = fit(pd.DataFrame([*rows, failed]), 0.3, RANGE, 0.5)
    judged = gate(frontier, HERE, 3e-4).judged
    assert judged.standing is Standing.TOO_RISKY
    assert judged.reason == "a trial failed at 0.0003"
    assert gate(frontier, HERE, 2.9e-4).judged.standing is Standing.NOT_ENOUGH_EVIDENCE
    assert gate(frontier, HERE, 2.3e-4).judged.standing is Standing.INSIDE


def steady(outcome: str) -> Frontier:
    rows = [
        {"learning_rate": 10**x, **HERE.settings, "outcome": outcome}
        for x in (-5, -4.5, -4, -3.5, -3, -2.5, -2, -1.5, *(-1,) * 6) * 8
    ]
    return fit(pd.DataFrame(rows), 0.1, RANGE, 0.9)


def test_outside_of_the_range_that_was_searched() -> None:
    """Below it a safe context stays safe, and that is said; above it nothing was shown."""
    judged = gate(make_frontier(), HERE, 1e-6).judged
    assert (judged.standing, judged.reason) == (Standing.INSIDE, "below every learning rate that was tried")
    frontier = steady("stable")
    assert gate(frontier, HERE, RANGE[1]).judged.standing is Standing.INSIDE
    judged = gate(frontier, HERE, RANGE[1] * 1.01).judged
    assert judged.standing is Standing.NOT_ENOUGH_EVIDENCE
    assert judged.reason == "above every learning rate that was tried"
    assert judged.safe == RANGE[1]


def test_where_everything_failed_nothing_is_inside() -> None:
    judged = gate(steady("diverged"), HERE, 1e-6).judged
    assert judged.standing is Standing.TOO_RISKY
    assert judged.safe is None
    assert "even the lowest learning rate" in judged.reason


def test_a_context_without_trials_is_no_evidence() -> None:
    judged = gate(make_frontier(), UNSEEN, 1e-4).judged
    assert judged.standing is Standing.NOT_ENOUGH_EVIDENCE
    assert judged.safe is None
    assert judged.num_trials == 0


def test_changes_are_one_setting_at_a_time() -> None:
    gated = gate(make_frontier(), HERE, 7e-4)
    assert gated.judged.standing is Standing.TOO_RISKY
    assert {(each.name, each.value) for each in gated.changes} == {
        ("precision", "fp32"),
        ("warmup_steps", 100),
    }
    assert [(each.name, each.value) for each in gated.cures] == [("warmup_steps", 100)]
    assert [(each.name, each.value) for each in gated.raises] == [("precision", "fp32")]
    here = gate(make_frontier(), Context("bf16", 100, 1.0), 3e-2)
    (fp16,) = [each for each in here.changes if each.value == "fp16"]
    assert fp16.judged.safe is None
    assert fp16.judged.standing is Standing.NOT_ENOUGH_EVIDENCE
    assert here.cures == ()


def test_changes_say_what_their_own_context_says() -> None:
    frontier = make_frontier()
    for change in gate(frontier, HERE, 1e-3).changes:
        assert change.judged == gate(frontier, change.judged.context, 1e-3).judged
        assert change.judged.context in BOUNDARIES


def test_an_unknown_context_is_refused() -> None:
    with pytest.raises(ValueError, match="not in"):
        gate(make_frontier(), Context("bf16", 7, 1.0), 1e-4)
