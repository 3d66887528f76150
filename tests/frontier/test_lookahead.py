"""What one more trial is expected to teach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_samples import BRACKET, CURVE, SPAN, problem_of

from stabsearch.frontier.curve import SLOPE_J, Floats
from stabsearch.frontier.evidence import Observation, Result, tallied
from stabsearch.frontier.lookahead import expected_gain, expected_variance
from stabsearch.frontier.posterior import Posterior

X = 45


def variance(posterior: Posterior, weight_TJ: Floats) -> float:
    """Return the variance of the threshold, held to the range plus 0.2 decades."""
    theta = np.clip(posterior.grid.thresholds(), SPAN.low - 0.2, SPAN.high + 0.2)
    weight = weight_TJ.sum(1) / weight_TJ.sum()
    return float(weight @ theta**2 - (weight @ theta) ** 2)


@pytest.mark.parametrize("grades", [(), (Result.DEGRADED, Result.CLEAN)])
def test_expected_variance_is_the_average_over_all_results(grades: tuple[Result, ...]) -> None:
    """Checked against conditioning on each result by hand; dead contexts left out."""
    problem = problem_of(BRACKET)
    if grades:
        graded = [Observation(-4.0 - 0.3 * i, grade) for i, grade in enumerate(grades)]
        problem = replace(problem, evidence=[tallied([*graded, Observation(-3.3, Result.FAILED)])])
    posterior = problem.posterior()
    posterior = replace(posterior, inferred=replace(posterior.inferred, dead_C=np.zeros(1)))
    now, after = expected_variance(problem, posterior)
    weight_TJ = posterior.inferred.weight_CTJ[0]
    distance = SPAN.candidates()[X] - posterior.grid.thresholds()
    results = [Result.FAILED, *(grades or [Result.SURVIVED])]
    joint = [weight_TJ * CURVE.probability(result, distance) for result in results]
    assert sum(each.sum() for each in joint) == pytest.approx(1.0)
    expected = sum(each.sum() * variance(posterior, each) for each in joint)
    assert now[0] == pytest.approx(variance(posterior, weight_TJ))
    assert after[0, X] == pytest.approx(expected)
    assert (after <= now[:, None] + 1e-9).all()


def test_a_context_that_may_be_dead_is_best_tested_low() -> None:
    """A survivor at a low rate settles the question; one at a high rate is not to be expected."""
    problem = problem_of([(-3.0, True), (-3.6, True), (-4.4, True), (-5.2, True)])
    posterior = problem.posterior()
    assert 0.05 < posterior.inferred.dead_C[0] < 0.95
    gain = expected_gain(problem, posterior)[0]
    assert SPAN.candidates()[gain.argmax()] < -5.0


def test_resolved_contexts_teach_less() -> None:
    """After two hundred trials around its boundary a context is as good as finished."""
    known = [(float(x), bool(x > -4.0)) for x in np.linspace(-4.5, -3.5, 200)]
    problem = problem_of(known, BRACKET)
    gain = expected_gain(problem, problem.posterior())
    assert gain[0].max() < 0.1 * gain[1].max()


def test_a_context_that_others_resemble_teaches_more() -> None:
    """Three contexts of one kind beside one that stands alone, none tried yet."""
    problem = problem_of([], [], [], [])
    prior_CC = problem.prior.covariance_CC.copy()
    prior_CC[3, :3] = prior_CC[:3, 3] = 0.0
    alone = replace(problem, prior=replace(problem.prior, covariance_CC=prior_CC))
    gain = expected_gain(alone, alone.posterior()).max(1)
    assert gain[0] > 1.5 * gain[3]


def test_chances_to_win_are_those_of_the_joint_draws() -> None:
    """The clearly higher frontier wins; equal ones share, and within 0.1 decades both count."""
    low = [(x - 1.0, failed) for x, failed in BRACKET * 4]
    problem = problem_of(BRACKET * 4, low)
    chances = problem.posterior().chance_to_be_best(SPAN)
    assert chances[0] > 0.97
    assert chances[1] < 0.1


def test_slopes_are_flattened_before_bands() -> None:
    """The shapes' layout that marginals over bands rely on."""
    assert SLOPE_J[0] == SLOPE_J[1]
    assert (np.diff(SLOPE_J) >= 0).all()
