"""The numbers behind the reports."""

from __future__ import annotations

import pytest
from report_samples import make_bridge, make_findings, make_island, make_ramp, make_sweep, make_trial

from stabsearch.records import Outcome
from stabsearch.report.findings import frontier_rows


def test_counts_add_up() -> None:
    """Every trial has one outcome, and is evidence or silent."""
    findings = make_findings(60)
    assert sum(findings.outcomes.values()) == 60
    assert findings.num_failed + findings.num_silent + findings.outcomes[Outcome.STABLE] == 60


def test_trials_are_put_in_order() -> None:
    """Completion order does not show."""
    findings = make_findings(5)
    shuffled = findings.of(
        findings.sweep, findings.records[::-1], findings.frontier, findings.answer
    )  # fmt: skip
    assert shuffled.records == findings.records


def test_rows_go_from_exact_to_coarse() -> None:
    """fp32 stands above bf16, as in the picture."""
    precisions = [row.context.precision for row in make_findings(8).rows]
    assert precisions == ["fp32"] * 4 + ["bf16"] * 4


def test_no_frontier_has_no_rows() -> None:
    """Views are told None before the first fit."""
    assert frontier_rows(None) == ()


def test_missing_rates_are_none() -> None:
    """NaN of the table never reaches a drawing."""
    rows = make_findings(0, make_sweep()).rows
    assert all(row.lr_safe is None for row in rows)


def test_cost_adds_up() -> None:
    """Steps, seconds and the share of time in training."""
    cost = make_findings(1, records=(make_trial(0), make_trial(1))).cost
    assert cost.steps == 240
    assert cost.train_s == pytest.approx(6.2)
    assert cost.training_share == pytest.approx(6.2 / 7.0)
    assert cost.span_s == pytest.approx(7.5)


def test_what_lies_between_the_trials_of_a_worker_counts() -> None:
    """Waiting, and explaining a failure, is worker time too; another worker's trials are its own."""
    one, other = make_trial(0, worker="a:1"), make_trial(2, worker="a:2")
    after = one.started_at + one.startup_s + one.train_s
    later = make_trial(1, worker="a:1", started_at=after + 0.5)
    cost = make_findings(1, records=(later, one, other)).cost
    assert cost.between_s == pytest.approx(0.5)
    assert cost.training_share == pytest.approx(9.3 / 11.0)
    assert cost.share(cost.startup_s) + cost.share(cost.between_s) == pytest.approx(1.7 / 11.0)


def test_machines_are_listed_once() -> None:
    """Two hosts stand in one line."""
    trials = (make_trial(0, machine={"host": "b"}), make_trial(1, machine={"host": "a"}))
    assert make_findings(1, records=trials).environment["host"] == "a, b"


def test_a_ramp_counts_nowhere() -> None:
    """However it ended, it is no failure, no silence and no context."""
    findings = make_findings(0, records=(make_ramp(0), make_trial(1)))
    assert findings.num_failed == findings.num_silent == 0
    assert findings.outcomes == {Outcome.STABLE: 1}
    assert not any(trial.plan.number == 0 for trial in findings.of_context(findings.ramps[0].plan.context))


def test_a_bridge_is_shown_as_it_stood_at_the_horizon_of_the_others() -> None:
    """It survived to there: what the frontier counts is what the picture shows."""
    findings = make_findings(1, records=(make_trial(0), make_bridge(1)))
    first, bridge = findings.of_context(findings.records[0].plan.context)
    assert (bridge.outcome, bridge.steps) == (first.outcome, first.steps)
    assert [findings.is_bridge(trial) for trial in findings.records] == [False, True]


def test_only_failures_below_survivors_and_frontier_contradict_it() -> None:
    """The island, not the failures around the boundary; nothing where no row is flagged."""
    assert make_island().failed_below == {40, 41, 42, 43, 44}
    assert make_findings(60).failed_below == frozenset()
