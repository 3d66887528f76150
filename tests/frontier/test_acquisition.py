"""Where the next trial teaches most."""

from __future__ import annotations

import numpy as np
import pytest

from stabsearch.frontier.acquisition import (
    Pending,
    expected_variance,
    next_trial,
    safe_side_trials,
    safety_probe,
    variance_reduction,
)
from stabsearch.frontier.curve import SLOPES_S, FailureCurve, slope_prior
from stabsearch.frontier.posterior import Posterior, Span, independent_posterior, tallied

SPAN = Span(-6.0, -2.0)
CURVE = FailureCurve(0.1)
BRACKET = [(-4.4, False), (-4.2, False), (-3.9, False), (-3.5, True), (-3.2, True)]


def posterior_of(*contexts: list[tuple[float, bool]]) -> Posterior:
    """Return the posterior of these contexts' (intensity, failed) pairs."""
    return independent_posterior(CURVE, SPAN, [tallied(outcomes) for outcomes in contexts])


def generator(seed: int = 0) -> np.random.Generator:
    """Return a seeded generator."""
    return np.random.default_rng(seed)


@pytest.mark.parametrize("risk", [0.01, 0.05, 0.1, 0.3])
def test_the_curve_passes_through_the_risk_at_its_threshold(risk: float) -> None:
    """Whatever the slope; below it fails less, above it more, never all or none."""
    probability = FailureCurve(risk).failure_probability(
        np.array([-9.0, -4.1, -4.0, -3.9, 9.0]), np.array([-4.0])
    )
    assert probability[2, 0] == pytest.approx(np.full(len(SLOPES_S), risk))
    assert (np.diff(probability[1:4, 0], axis=0) > 0).all()
    assert probability.min() > 0
    assert probability.max() < 1


def test_slope_weights_are_a_distribution_that_prefers_shallow_curves() -> None:
    """Most of the weight lies at slopes that seeds blur, the safe assumption."""
    assert slope_prior().sum() == pytest.approx(1.0)
    assert SLOPES_S[slope_prior().argmax()] < 10


def test_expected_variance_is_the_average_over_both_outcomes() -> None:
    """Checked against really adding the trial."""
    posterior = posterior_of(BRACKET)
    now, after = expected_variance(posterior, SPAN)
    theta = np.clip(posterior.theta_T, SPAN.low - 0.2, SPAN.high + 0.2)
    x = SPAN.candidates()[45]

    def variance(of: Posterior) -> float:
        weight = of.weight_CTS[0].sum(1)
        return float(weight @ theta**2 - (weight @ theta) ** 2)

    fails = posterior.failure_probability(0, x)
    expected = fails * variance(posterior.after(0, x, failed=True)) + (1 - fails) * variance(
        posterior.after(0, x, failed=False)
    )
    assert now[0] == pytest.approx(variance(posterior))
    assert after[0, 45] == pytest.approx(expected)
    assert (after <= now[:, None] + 1e-9).all()


def test_adding_trials_one_by_one_or_all_at_once_is_the_same() -> None:
    """The posterior is exact."""
    stepwise = posterior_of([])
    for x, failed in BRACKET:
        stepwise = stepwise.after(0, x, failed=failed)
    assert stepwise.weight_CTS == pytest.approx(posterior_of(BRACKET).weight_CTS)


def test_the_next_trial_goes_to_the_context_that_is_known_least() -> None:
    """And into the gap between survivors and failures."""
    proposal = next_trial(posterior_of(BRACKET, [], BRACKET), SPAN, [], generator())
    assert proposal.context == 1
    inside = next_trial(posterior_of(BRACKET), SPAN, [], generator())
    assert -4.4 < inside.x < -3.2


def test_pending_trials_spread_concurrent_proposals_over_contexts() -> None:
    """Four workers and four unknown contexts: each gets one."""
    posterior, pending = posterior_of([], [], [], []), []
    for worker in range(4):
        proposal = next_trial(posterior, SPAN, pending, generator(worker))
        pending.append(Pending(proposal.context, proposal.x))
    assert {trial.context for trial in pending} == {0, 1, 2, 3}


def test_resolved_contexts_teach_less() -> None:
    """After two hundred trials around its boundary a context is as good as finished."""
    known = [(x, x > -4.0) for x in np.linspace(-4.5, -3.5, 200)]
    gain = variance_reduction(posterior_of(known, BRACKET), SPAN)
    assert gain[0].max() < 0.1 * gain[1].max()


def test_a_probe_goes_below_the_frontier_of_the_least_probed_context() -> None:
    """Where the model expects survival."""
    posterior = posterior_of(BRACKET, BRACKET)
    proposal = safety_probe(posterior, SPAN, np.array([3.0, 0.0]), generator())
    assert proposal is not None
    assert proposal.context == 1
    assert proposal.x < posterior.quantile(0.25)[1]


def test_there_is_nothing_to_probe_where_no_safe_side_is_known() -> None:
    """Unknown and dead contexts would only be sent to the bottom of the range."""
    posterior = posterior_of([], [(-6.0, True)] * 4)
    assert safety_probe(posterior, SPAN, np.zeros(2), generator()) is None
    mixed = safety_probe(posterior_of([], BRACKET), SPAN, np.array([0.0, 9.0]), generator())
    assert mixed is not None
    assert mixed.context == 1


def test_trials_on_the_safe_side_are_counted() -> None:
    """Trials above the frontier are no probes."""
    posterior = posterior_of(BRACKET, [(-2.1, True), (-2.2, True)])
    assert safe_side_trials(posterior, [tallied(BRACKET), tallied([(-2.1, True), (-2.2, True)])])[1] == 0


def test_proposals_stay_in_the_range() -> None:
    """Also where the boundary lies beyond it, and after the jitter."""
    for seed, outcomes in enumerate([[(-2.0, False)] * 5, [(-6.0, True)] * 5]):
        proposal = next_trial(posterior_of(outcomes), SPAN, [], generator(seed))
        probe = safety_probe(posterior_of(outcomes), SPAN, np.zeros(1), generator(seed)) or proposal
        assert SPAN.low <= min(proposal.x, probe.x) <= max(proposal.x, probe.x) <= SPAN.high
