"""Small problems for the tests of the engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stabsearch.frontier.curve import FailureCurve
from stabsearch.frontier.evidence import Evidence, Observation, Result, tallied
from stabsearch.frontier.likelihood import Span
from stabsearch.frontier.prior import Prior, context_prior
from stabsearch.frontier.problem import Goal, Pending, Problem
from stabsearch.records import Context

SPAN = Span(-6.0, -2.0)
CURVE = FailureCurve(0.1)
BRACKET = [(-4.4, False), (-4.2, False), (-3.9, False), (-3.5, True), (-3.2, True)]
CONTEXTS = [
    Context("fp32", 0, 1.0),
    Context("fp32", 100, 1.0),
    Context("fp16", 0, 1.0),
    Context("fp16", 100, 1.0),
]


def evidence_of(outcomes: Sequence[tuple[float, bool]]) -> Evidence:
    """Return the evidence of (intensity, failed) pairs."""
    return tallied(Observation(x, Result.FAILED if failed else Result.SURVIVED) for x, failed in outcomes)


def prior_of(num_contexts: int) -> Prior:
    """Return the prior of the first contexts."""
    return context_prior(CONTEXTS[:num_contexts], SPAN)


def problem_of(
    *contexts: Sequence[tuple[float, bool]],
    pending: Sequence[Pending] = (),
    goal: Goal = "map",
    cost_exponent: float = 0.0,
) -> Problem:
    """Return the problem whose contexts have these (intensity, failed) pairs."""
    evidence = [evidence_of(outcomes) for outcomes in contexts]
    return Problem(CURVE, SPAN, prior_of(len(contexts)), evidence, pending, goal, cost_exponent)


def generator(seed: int = 0) -> np.random.Generator:
    """Return a seeded generator."""
    return np.random.default_rng(seed)
