"""What one more trial is expected to teach about the thresholds of all contexts.

Shape letters: C contexts, T thresholds, J shapes, X candidate intensities, R results, M moments. Decades.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from stabsearch.frontier.curve import FailureCurve, Floats
from stabsearch.frontier.evidence import Result, is_graded
from stabsearch.frontier.inference import DEAD_RATE_Q, Inferred
from stabsearch.frontier.likelihood import Grid, Span
from stabsearch.frontier.posterior import Posterior
from stabsearch.frontier.problem import Problem

_RESOLVED_SD = 0.1  # decades; chosen: the accuracy at which a context has had its share of trials
_BEYOND = 0.2  # decades; chosen: how far outside the range a threshold's exact place still matters
_STARTUP = 0.1  # of a horizon; chosen
_SHARE_UNTIL_FAILURE = 0.25  # of a horizon; chosen: failures come early


def expected_gain(problem: Problem, posterior: Posterior) -> Floats:
    """Return how much one trial is expected to reduce the variance of all thresholds: [C, X].

    Squared decades. Exact for the trial's own context; others learn from it by their squared
    correlation. Resolved contexts count less, and so do those that the goal does not need.
    """
    now_C, after_CX = expected_variance(problem, posterior)
    own_CX = np.maximum(now_C[:, None] - after_CX, 0.0)
    covariance_CC = posterior.inferred.covariance_CC
    variance_C = np.diag(covariance_CC)
    squared_CC = covariance_CC**2 / np.outer(variance_C, variance_C)
    reach_C = squared_CC @ (now_C * worth(problem, posterior)) / np.maximum(now_C, 1e-8)
    gain_CX: Floats = own_CX * reach_C[:, None]
    if problem.cost_exponent:
        gain_CX = gain_CX / _expected_cost(problem, posterior) ** problem.cost_exponent
    return gain_CX


def expected_variance(problem: Problem, posterior: Posterior) -> tuple[Floats, Floats]:
    """Return the thresholds' variances now, [C], and expected after one trial, [C, X].

    Exact over every result a trial can have; squared decades. Thresholds are held to the range plus
    a margin, and a dead context stands below it.
    """
    inferred = posterior.inferred
    theta_T = _held(problem, posterior)
    alive_C = 1 - inferred.dead_C
    power_MT = theta_T ** np.arange(3)[:, None]
    dead_M = (-_BEYOND) ** np.arange(3)
    graded = is_graded(problem.evidence)
    table_TJXR = _result_table(problem.curve, problem.searched, posterior.grid, graded)
    moment_CMTJ = (alive_C[:, None, None] * inferred.weight_CTJ)[:, None] * power_MT[:, :, None]
    num_contexts = len(alive_C)
    moment_CMXR = (moment_CMTJ.reshape(3 * num_contexts, -1) @ table_TJXR).reshape(
        num_contexts, 3, -1, 3 if graded else 2
    )
    dead_CR = inferred.dead_C[:, None] * _dead_results(inferred, graded)
    moment_CMXR += dead_M[:, None, None] * dead_CR[:, None, None, :]
    probability_CXR = np.maximum(moment_CMXR[:, 0], 1e-12)
    after_CX = (moment_CMXR[:, 2] - moment_CMXR[:, 1] ** 2 / probability_CXR).sum(2)
    now_CM = moment_CMXR[:, :, 0].sum(2)
    return now_CM[:, 2] - now_CM[:, 1] ** 2, after_CX


@lru_cache(maxsize=16)
def _result_table(curve: FailureCurve, searched: Span, grid: Grid, graded: bool) -> Floats:
    """Return the probability of every result of every candidate: [T * J, X * R], read-only."""
    results = [Result.FAILED, Result.DEGRADED, Result.CLEAN] if graded else [Result.FAILED, Result.SURVIVED]
    distance_TX = searched.candidates()[None, :] - grid.thresholds()[:, None]
    table_TXRJ = np.stack([curve.probability(result, distance_TX) for result in results], axis=2)
    table_TJXR = np.ascontiguousarray(np.moveaxis(table_TXRJ, 3, 1))
    table_TJXR = table_TJXR.reshape(table_TJXR.shape[0] * table_TJXR.shape[1], -1)
    table_TJXR.flags.writeable = False
    return table_TJXR


def _held(problem: Problem, posterior: Posterior) -> Floats:
    """Return the thresholds above the low end of the range, held to the range plus a margin: [T]."""
    width = problem.searched.high - problem.searched.low
    held_T: Floats = np.clip(posterior.grid.thresholds() - problem.searched.low, -_BEYOND, width + _BEYOND)
    return held_T


def _dead_results(inferred: Inferred, graded: bool) -> Floats:
    """Return the probability of each result in a dead context: [C, R]."""
    fail_C = inferred.dead_rate_CQ @ DEAD_RATE_Q
    survive = [1 - fail_C] if not graded else [(1 - fail_C) / 2] * 2
    return np.stack([fail_C, *survive], axis=1)


def _expected_cost(problem: Problem, posterior: Posterior) -> Floats:
    """Return the expected share of a horizon that a trial runs, start-up included: [C, X]."""
    table = _result_table(problem.curve, problem.searched, posterior.grid, False)
    weight = posterior.inferred.weight_CTJ.reshape(len(problem.evidence), -1)
    failure_CX = (weight @ table).reshape(len(problem.evidence), -1, 2)[:, :, 0]
    cost_CX: Floats = _STARTUP + 1 - (1 - _SHARE_UNTIL_FAILURE) * failure_CX
    return cost_CX


def worth(problem: Problem, posterior: Posterior) -> Floats:
    """Return the weight of each context: less as its threshold becomes known, and by the goal: [C]."""
    theta_T = _held(problem, posterior)
    weight_CT = posterior.inferred.weight_CTJ.sum(2)
    sd_C = np.sqrt(np.maximum(weight_CT @ theta_T**2 - (weight_CT @ theta_T) ** 2, 0.0))
    unresolved_C: Floats = np.clip(sd_C / _RESOLVED_SD - 0.3, 0.05, 1.0)
    return unresolved_C * (
        posterior.chance_to_be_best(problem.searched) if problem.goal == "recommend" else 1.0
    )
