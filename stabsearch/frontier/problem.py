"""Everything that the next proposal follows from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stabsearch.frontier.curve import FailureCurve
from stabsearch.frontier.evidence import Evidence, Observation, Result, settled, tallied
from stabsearch.frontier.inference import data_of, infer
from stabsearch.frontier.likelihood import Grid, Span
from stabsearch.frontier.posterior import Posterior
from stabsearch.frontier.prior import Prior

Goal = Literal["map", "recommend"]


@dataclass(frozen=True)
class Pending:
    """A trial that is running now."""

    context: int
    x: float
    """Intensity, decades."""
    exposure: float = 0.0
    """Share of its horizon that it has survived so far."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that a proposal follows from."""

    curve: FailureCurve
    searched: Span
    prior: Prior
    evidence: Sequence[Evidence]
    pending: Sequence[Pending] = ()
    goal: Goal = "map"
    """``map``: every context counts; ``recommend``: those that may turn out best."""
    cost_exponent: float = 0.0
    """Divide the gain by the expected share of a horizon to this power; 0: cost does not matter."""
    grid: Grid = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", settled(self.evidence))
        object.__setattr__(self, "grid", Grid.around(self.searched, self.evidence))

    def posterior(self) -> Posterior:
        """Return what is known, running trials counted as alive so far."""
        return self._posterior(
            (trial.context, Observation(trial.x, Result.SURVIVED, min(trial.exposure, 0.999)))
            for trial in self.pending
        )

    def posterior_after(self, outcomes: Iterable[tuple[Pending, Result]]) -> Posterior:
        """Return what would be known if running trials had ended like this."""
        return self._posterior((trial.context, Observation(trial.x, result)) for trial, result in outcomes)

    def _posterior(self, further: Iterable[tuple[int, Observation]]) -> Posterior:
        """Return what is known with further observations, each with its context."""
        seen: list[list[Observation]] = [[] for _ in self.evidence]
        for context, observation in further:
            seen[context].append(observation)
        more = [tallied(observations) for observations in seen]
        known = data_of(self.curve, self.grid, self.evidence)
        data = known.plus(data_of(self.curve, self.grid, more)) if any(more) else known
        return Posterior(self.curve, self.grid, infer(self.grid, self.prior, data))
