"""The shared posterior: exact in each context, Gaussian between contexts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from engine_samples import BRACKET, CONTEXTS, CURVE, SPAN, evidence_of, prior_of

from stabsearch.frontier.curve import SLOPE_J
from stabsearch.frontier.inference import Inferred, data_of, infer
from stabsearch.frontier.likelihood import Grid, log_likelihood
from stabsearch.frontier.prior import Prior, context_prior

Outcomes = list[tuple[float, bool]]
SURVIVORS: Outcomes = [(-5.0, False), (-4.5, False)]


def inferred(contexts: list[Outcomes], prior: Prior | None = None) -> tuple[Grid, Inferred]:
    """Return the posterior of (intensity, failed) pairs per context."""
    evidence = [evidence_of(outcomes) for outcomes in contexts]
    grid = Grid.around(SPAN, evidence)
    return grid, infer(grid, prior or prior_of(len(contexts)), data_of(CURVE, grid, evidence))


def means(grid: Grid, found: Inferred) -> np.ndarray:
    """Return the mean threshold of each context."""
    return np.asarray(found.weight_CTJ.sum(2) @ grid.thresholds())


def brute_force_means(contexts: list[Outcomes], prior: Prior) -> list[float]:
    """Return the mean thresholds of two contexts from their whole joint table, for one fixed slope."""
    grid = Grid.around(SPAN, [])
    theta = grid.thresholds()
    shape = int(np.argmin(np.abs(SLOPE_J - 10.0)))
    logs = [log_likelihood(CURVE, grid, evidence_of(outcomes))[:, shape] for outcomes in contexts]
    inverse = np.linalg.inv(prior.covariance_CC)
    a, b = (theta[:, None] - prior.mean_C[0]), (theta[None, :] - prior.mean_C[1])
    quadratic = inverse[0, 0] * a**2 + 2 * inverse[0, 1] * a * b + inverse[1, 1] * b**2
    joint = np.exp(-0.5 * quadratic + logs[0][:, None] + logs[1][None, :])
    joint /= joint.sum()
    return [float(joint.sum(1) @ theta), float(joint.sum(0) @ theta)]


def test_two_contexts_agree_with_the_whole_joint_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it can be computed: with the slope known and death ruled out, means agree to 0.03 decades.

    One failure above survivors in another context leaves very skewed posteriors: there to 0.12.
    """
    shape = int(np.argmin(np.abs(SLOPE_J - 10.0)))
    known = np.full((1, len(SLOPE_J)), 1e-12)
    known[0, shape] = 1.0
    monkeypatch.setattr("stabsearch.frontier.inference._shape_prior", lambda: (np.zeros(1), known))
    monkeypatch.setattr("stabsearch.frontier.inference._DEAD_GROUP", 1e-12)
    monkeypatch.setattr("stabsearch.frontier.inference._DEAD_IN_LIVING_GROUP", 1e-12)
    cases: list[tuple[list[Outcomes], float]] = [
        ([BRACKET, SURVIVORS], 0.03),
        ([BRACKET, []], 0.03),
        ([SURVIVORS, [(-4.6, True)]], 0.12),
    ]
    for contexts, error in cases:
        grid, found = inferred(contexts)
        assert means(grid, found) == pytest.approx(brute_force_means(contexts, prior_of(2)), abs=error)


def test_the_order_of_the_contexts_permutes_the_posterior() -> None:
    """Every permutation of four contexts gives the same weights to each."""
    contexts: list[Outcomes] = [BRACKET, SURVIVORS, [(-4.0, True)] * 3, []]
    _, found = inferred(contexts)
    for order in itertools.permutations(range(4)):
        prior = context_prior([CONTEXTS[i] for i in order], SPAN)
        _, permuted = inferred([contexts[i] for i in order], prior)
        assert permuted.weight_CTJ == pytest.approx(found.weight_CTJ[list(order)], abs=1e-6)
        assert permuted.dead_C == pytest.approx(found.dead_C[list(order)], abs=1e-6)


def test_without_trials_the_prior_is_left() -> None:
    """Means in the middle of the range, and nobody more dead than believed before."""
    grid, found = inferred([[], []])
    assert means(grid, found) == pytest.approx([-4.0, -4.0], abs=0.01)
    assert (found.dead_C < 0.07).all()


def test_failures_at_any_rate_are_death_not_a_low_frontier() -> None:
    """Survivors in between give it away: three of nine, evenly spread, follow no curve."""
    spread: Outcomes = [(-5.8 + 0.45 * i, i % 3 != 1) for i in range(9)]
    _, found = inferred([spread])
    assert found.dead_C[0] > 0.9
    assert found.dead_rate_CQ[0].sum() == pytest.approx(1.0)


def test_a_dead_context_condemns_its_precision_and_no_other() -> None:
    """Its untried neighbour in fp16 is suspected; fp32 beside it is as alive as without it."""
    everywhere: Outcomes = [(-5.9 + 0.2 * i, True) for i in range(20)]
    _, found = inferred([BRACKET, [], everywhere, []])
    assert found.dead_C[2] > 0.5
    assert found.dead_C[3] > 0.3
    assert (found.dead_C[:2] < 0.02).all()


def test_a_dead_context_leaves_the_others_where_they_were() -> None:
    """What it shows is not about its threshold."""
    everywhere: Outcomes = [(-5.9 + 0.3 * i, True) for i in range(12)]
    grid, with_dead = inferred([BRACKET, SURVIVORS, everywhere, everywhere])
    _, without = inferred([BRACKET, SURVIVORS, [], []])
    assert means(grid, with_dead)[:2] == pytest.approx(means(grid, without)[:2], abs=0.05)


def test_what_one_context_shows_of_the_slope_helps_another() -> None:
    """Beside a context with a steep boundary, a steep curve is more probable."""
    steep: Outcomes = [(x, x > -4.0) for x in np.linspace(-4.3, -3.7, 40).tolist()]
    slope = [inferred([BRACKET, other])[1].weight_CTJ[0].sum(0) @ SLOPE_J for other in ([], steep)]
    assert slope[1] > 1.3 * slope[0]


def test_thousands_of_trials_do_not_overflow() -> None:
    """Likelihoods of e-10000 are still compared, and the answer is sharp."""
    many: Outcomes = [(x, x > -4.0) for x in np.linspace(-6, -2, 5000).tolist()]
    grid, found = inferred([many, [(-4.0, True)] * 2000, []])
    assert np.isfinite(found.weight_CTJ).all()
    assert means(grid, found)[0] == pytest.approx(-4.05, abs=0.1)
    assert found.dead_C[1] + found.weight_CTJ[1].sum(1)[grid.thresholds() < -4.0].sum() > 0.99


def test_inference_comes_to_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over forty small sweeps, an iteration more or many more changes nothing that is reported."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        contexts: list[Outcomes] = [
            [(float(x), bool(rng.random() < 0.5 + 0.4 * np.sign(x + 4.0))) for x in rng.uniform(-6, -2, n)]
            for n in rng.integers(1, 8, 4)
        ]
        found = []
        for iterations in (80, 81, 300):
            monkeypatch.setattr("stabsearch.frontier.inference._MAX_ITERATIONS", iterations)
            grid, each = inferred(contexts)
            found.append(np.concatenate([means(grid, each), each.dead_C]))
        assert found[1] == pytest.approx(found[0], abs=0.01)
        assert found[2] == pytest.approx(found[0], abs=0.01)
