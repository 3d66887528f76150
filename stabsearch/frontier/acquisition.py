"""Where the next trial goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stabsearch.frontier.curve import EXPOSURE_POWER, Floats
from stabsearch.frontier.evidence import Evidence, Result
from stabsearch.frontier.likelihood import Span
from stabsearch.frontier.lookahead import expected_gain, worth
from stabsearch.frontier.posterior import Posterior
from stabsearch.frontier.problem import Pending, Problem
from stabsearch.frontier.verdict import LOW_END

_PROBE_QUANTILE = 0.1  # chosen: low enough that a failure there contradicts the model
_SAFE_SIDE_QUANTILE = 0.25  # chosen: a bit above the probes, so that jitter and updates keep them in
_BELIEVED_DEAD = 0.5  # chosen: more likely than not
_JITTER = 0.02  # decades each way; chosen: the boundary at one exact rate may be a filament


@dataclass(frozen=True)
class Proposal:
    """Where to try next."""

    context: int
    x: float
    """Intensity, decades, inside the span."""


def next_trial(problem: Problem, rng: np.random.Generator) -> Proposal:
    """Return the trial expected to shrink the variance of the whole frontier most.

    Each running trial is given one outcome drawn from its predictive distribution, so that
    concurrent proposals differ without any tuning.
    """
    gain_CX = expected_gain(problem, _with_fantasies(problem, rng))
    gain_CX = gain_CX * (1 + 1e-6 * rng.random(gain_CX.shape))  # equal contexts: either may be first
    context, candidate = np.unravel_index(int(np.argmax(gain_CX)), gain_CX.shape)
    x = problem.searched.candidates()[candidate]
    return Proposal(int(context), _jittered(x, problem.searched, rng))


def safety_probe(problem: Problem, rng: np.random.Generator) -> Proposal | None:
    """Return a trial where the model expects survival, in the context that was probed least.

    The information criterion never goes back to the safe side, hence never notices that the model
    is wrong there. A context that is believed dead is probed at the low end of the range, until a
    failure there was seen. None when no context has a safe side inside the range yet.
    """
    posterior = problem.posterior()
    doubtful = _unseen_deaths(problem, posterior)
    if len(doubtful):
        return Proposal(int(rng.choice(doubtful)), _jittered(problem.searched.low, problem.searched, rng))
    x_C = np.minimum(posterior.quantile(_PROBE_QUANTILE), problem.searched.high)
    probes_C = safe_side_trials(posterior, problem.evidence)
    urgency_C = worth(problem, posterior) / (1 + probes_C) * (1 + 1e-6 * rng.random(len(probes_C)))
    context = int(np.argmax(np.where(x_C > problem.searched.low, urgency_C, 0.0)))
    if x_C[context] <= problem.searched.low:
        return None
    return Proposal(context, _jittered(x_C[context], problem.searched, rng))


def _unseen_deaths(problem: Problem, posterior: Posterior) -> NDArray[np.intp]:
    """Return the contexts that are believed dead without a failure near the low end of the range."""
    edge = problem.searched.low + LOW_END
    lowest_C = [min((t.x for t in tallies if t.failed), default=np.inf) for tallies in problem.evidence]
    dead_C = posterior.inferred.dead_C > _BELIEVED_DEAD
    unseen: NDArray[np.intp] = np.flatnonzero(dead_C & (np.array(lowest_C) > edge))
    return unseen


def safe_side_trials(posterior: Posterior, evidence: Sequence[Evidence]) -> Floats:
    """Return how many trials each context has where survival was expected: [C]."""
    edge_C = posterior.quantile(_SAFE_SIDE_QUANTILE)
    counts = [
        sum(tally.num_trials for tally in tallies if tally.x <= edge)
        for tallies, edge in zip(evidence, edge_C, strict=True)
    ]
    return np.array(counts, dtype=float)


def _with_fantasies(problem: Problem, rng: np.random.Generator) -> Posterior:
    """Return the posterior once every running trial has ended, one drawn outcome each."""
    posterior = problem.posterior()
    if not problem.pending:
        return posterior
    return problem.posterior_after(
        (trial, _drawn(problem, posterior, trial, rng)) for trial in problem.pending
    )


def _drawn(problem: Problem, posterior: Posterior, trial: Pending, rng: np.random.Generator) -> Result:
    """Return an outcome drawn from the predictive of a trial that is alive so far."""
    failure = posterior.failure_probability(trial.context, trial.x)
    seen = failure * trial.exposure**EXPOSURE_POWER
    still = (failure - seen) / (1 - seen)
    return Result.FAILED if rng.random() < still else Result.SURVIVED


def _jittered(x: float, searched: Span, rng: np.random.Generator) -> float:
    return float(np.clip(x + rng.uniform(-_JITTER, _JITTER), searched.low, searched.high))
