"""Where the next trial goes."""

from __future__ import annotations

import numpy as np
from engine_samples import BRACKET, SPAN, generator, problem_of

from stabsearch.frontier.acquisition import next_trial, safe_side_trials, safety_probe
from stabsearch.frontier.problem import Pending

KNOWN = [(float(x), bool(x > -4.0)) for x in np.linspace(-4.5, -3.5, 100)]


def test_the_next_trial_goes_to_the_context_that_is_known_least() -> None:
    """And into the gap between survivors and failures."""
    assert next_trial(problem_of(BRACKET, [], BRACKET, BRACKET), generator()).context == 1
    assert -4.4 < next_trial(problem_of(BRACKET), generator()).x < -3.2


def test_pending_trials_spread_concurrent_proposals() -> None:
    """Four workers that know nothing yet: nobody repeats what another is doing."""
    pending: list[Pending] = []
    for worker in range(4):
        proposal = next_trial(problem_of([], [], [], [], pending=pending), generator(worker))
        pending.append(Pending(proposal.context, proposal.x))
    gaps = [abs(a.x - b.x) for a in pending for b in pending if a is not b and a.context == b.context]
    assert min(gaps, default=1.0) > 0.1


def test_a_trial_that_is_alive_so_far_counts_as_much_as_it_has_shown() -> None:
    """The frontier rises with the share of the horizon that a running trial has survived."""
    medians = [
        problem_of(BRACKET, pending=[Pending(0, -3.4, share)]).posterior().quantile(0.5)[0]
        for share in (0.0, 0.3, 0.9)
    ]
    assert medians == sorted(medians)
    assert medians[0] + 0.05 < medians[2]
    assert medians[2] < problem_of([*BRACKET, (-3.4, False)]).posterior().quantile(0.5)[0] + 0.02


def test_recommending_spends_trials_only_where_the_highest_frontier_may_be() -> None:
    """A map wants the low context too, once the high one is known better."""
    low = [(-5.1 - 0.1 * i, False) for i in range(3)] + [(-4.5 + 0.1 * i, True) for i in range(3)]
    high = [(-3.9 - 0.1 * i, False) for i in range(3)] + [(-3.7 + 0.1 * i, True) for i in range(3)]
    chosen = {
        goal: [next_trial(problem_of(low, high, goal=goal), generator(seed)).context for seed in range(3)]  # type: ignore[arg-type]
        for goal in ("map", "recommend")
    }
    assert set(chosen["map"]) == {0}
    assert set(chosen["recommend"]) == {1}


def test_paying_attention_to_cost_moves_trials_up() -> None:
    """Failures are cheap, survivors run to their horizon."""
    free, dear = (next_trial(problem_of(BRACKET, cost_exponent=a), generator()).x for a in (0.0, 3.0))
    assert dear > free


def test_a_probe_goes_below_the_frontier_of_the_least_probed_context() -> None:
    """Where the model expects survival."""
    problem = problem_of([*BRACKET, (-5.5, False), (-5.4, False), (-5.3, False)], BRACKET)
    proposal = safety_probe(problem, generator())
    assert proposal is not None
    assert proposal.context == 1
    assert proposal.x < problem.posterior().quantile(0.25)[1]


def test_there_is_nothing_to_probe_where_no_safe_side_is_known() -> None:
    """A dead context would only be sent to the bottom of the range."""
    assert safety_probe(problem_of([(-6.0, True)] * 6), generator()) is None


def test_a_context_believed_dead_is_tried_at_the_low_end_once() -> None:
    """Failures at high rates make it probable; a failure at the low end, in the same context, shows it."""
    good = [(-3.4, False), (-3.0, False), (-2.8, True), (-2.6, True)]
    bad = [(-3.0 - 0.5 * i, True) for i in range(5)]
    probe = safety_probe(problem_of(good, good, bad, bad), generator())
    assert probe is not None
    assert probe.context in {2, 3}
    assert probe.x < SPAN.low + 0.1
    seen = [*bad, (-5.95, True)]
    after = safety_probe(problem_of(good, good, seen, seen), generator())
    assert after is not None
    assert after.context in {0, 1}


def test_trials_on_the_safe_side_are_counted() -> None:
    """Trials above the frontier are no probes."""
    problem = problem_of(BRACKET, [(-2.1, True), (-2.2, True)])
    assert safe_side_trials(problem.posterior(), problem.evidence)[1] == 0


def test_proposals_stay_in_the_range() -> None:
    """Also where the boundary lies beyond it, and after the jitter."""
    for seed, outcomes in enumerate([[(-2.0, False)] * 5, [(-6.0, True)] * 5]):
        problem = problem_of(outcomes)
        proposal = next_trial(problem, generator(seed))
        probe = safety_probe(problem, generator(seed)) or proposal
        assert SPAN.low <= min(proposal.x, probe.x) <= max(proposal.x, probe.x) <= SPAN.high
