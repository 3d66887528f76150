"""An Optuna sampler that seeks the boundary of stable training instead of the best value."""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from stabsearch.frontier.acquisition import Proposal, next_trial, safety_probe
from stabsearch.frontier.curve import FailureCurve
from stabsearch.frontier.evidence import Evidence, Observation, Result, tallied
from stabsearch.frontier.hints import PriorHint
from stabsearch.frontier.kept import Kept
from stabsearch.frontier.likelihood import Span
from stabsearch.frontier.prior import Prior, context_prior, factor_of, factored_prior
from stabsearch.frontier.problem import Goal, Pending, Problem
from stabsearch.records import Context
from stabsearch.records.hyperparameters import of_role
from stabsearch.search.axis import Axis, context_levels
from stabsearch.search.numbered_random import NumberedRandomSampler
from stabsearch.search.told import EvidenceSource, alive_for, proven, running

_MAX_CONTEXTS = 256  # chosen: a suggestion stays below 0.1 s
_RESULTS = tuple(Result)
_MAX_KEPT = 4 * _MAX_CONTEXTS  # chosen: of a space with more contexts, others are looked at each time

Levelled = tuple[int, ...]
"""A context as the level of each of its parameters."""


class FrontierSampler(BaseSampler):  # type: ignore[misc]  # Optuna is untyped here
    """Proposes the trial that teaches most about where failures begin, in every context.

    The objective returns 1.0 (survived), 0.5 (survived, degraded) or 0.0 (failed because of its
    hyperparameters), in a study that maximizes; PRUNED counts as failed, FAIL proves nothing, any
    other value is left out with a warning. Trials that another sampler proposed count alike.
    Running trials are taken into account, so that concurrent proposals differ.

    Every parameter but the intensity spans the contexts: a categorical one by its choices, integers
    by their values when these are few, other numbers in four bins. Without the intensity among its
    parameters, a study is sampled at random.

    Args:
        intensity: the parameter that breaks training when it is too large.
        max_failure_probability: the failure probability that the frontier is defined by.
        seed: same seed, same trials: same proposals, in another process too; None: a new seed.
        search_space: all parameters, when the study does not show them yet; default: those of the
            latest trial, so the first trial of a study is random.
        evidence: replaces the values of finished trials, for outcomes that depend on other trials.
        probe_every: one trial in this many checks the safe side of a context; 0: none does.
        goal: ``map``: learn the frontier of every context; ``recommend``: spend trials where the
            highest frontier may be.
        hints: what is known beforehand of where frontiers lie; for the parameters precision,
            warmup_steps and max_grad_norm, and others that a sweep can search.
        cost_exponent: divide what a trial is expected to teach by its expected cost to this power.

    Raises:
        ValueError: an impossible probability, or a study with several objectives.
    """

    def __init__(
        self,
        intensity: str = "learning_rate",
        max_failure_probability: float = 0.1,
        seed: int | None = None,
        *,
        search_space: Mapping[str, BaseDistribution] | None = None,
        evidence: EvidenceSource | None = None,
        probe_every: int = 6,
        goal: Goal = "map",
        cost_exponent: float = 0.0,
        hints: Sequence[PriorHint] = (),
    ) -> None:
        if probe_every < 0:
            raise ValueError(f"probe_every must be 0 or above, got {probe_every}")
        self._intensity = intensity
        self._curve = FailureCurve(max_failure_probability)
        self._seed = secrets.randbits(32) if seed is None else seed
        self._search_space = dict(search_space) if search_space is not None else None
        self._evidence = evidence
        self._probe_every = probe_every
        self._goal, self._cost_exponent, self._hints = goal, cost_exponent, tuple(hints)
        self._independent = NumberedRandomSampler(self._seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the given search space, else that of the latest trial that had the intensity."""
        self._raise_error_if_multi_objective(study)
        space = self._search_space if self._search_space is not None else self._latest_space(study, trial)
        return dict(space) if _is_searchable(space.get(self._intensity)) else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the proposal: a value for every parameter of the search space."""
        self._raise_error_if_multi_objective(study)
        if not _is_searchable(search_space.get(self._intensity)):
            draw = self._independent.sample_independent
            return {name: draw(study, trial, name, each) for name, each in search_space.items()}
        rng = np.random.default_rng([self._seed, trial.number])
        return self._proposal(study, trial, search_space, rng)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value, for parameters that the search space does not hold."""
        self._raise_error_if_multi_objective(study)
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _latest_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters of the latest finished trial; of a running one when none is."""
        others = (t for t in study.get_trials(deepcopy=False) if t.number != trial.number)
        candidates = [t for t in others if self._intensity in t.distributions]
        latest = max(candidates, key=lambda t: (t.state.is_finished(), t.number), default=None)
        return latest.distributions if latest is not None else {}

    def _proposal(
        self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution], rng: np.random.Generator
    ) -> dict[str, Any]:
        observed = _observed(_Space(repr(space), space), self._intensity)
        facts = proven(study, self._evidence)
        places = observed.places([t for t, _ in facts])
        alive = running(study, but=trial)
        alive_at = observed.places(alive)
        contexts = observed.contexts(lambda: [place.context for place in (*places, *alive_at) if place], rng)
        position = {context: index for index, context in enumerate(contexts)}
        observations: dict[Levelled, list[Observation]] = {context: [] for context in contexts}
        for place, (_, result) in zip(places, facts, strict=True):
            seen = observations.get(place.context) if place is not None else None
            if place is not None and seen is not None:
                seen.append(place.observations[result])
        problem = Problem(
            self._curve,
            observed.span,
            observed.prior(contexts, self._hints),
            [observed.evidence(context, seen) for context, seen in observations.items()],
            [
                Pending(position[place.context], place.x, alive_for(t))
                for t, place in zip(alive, alive_at, strict=True)
                if place is not None and place.context in position
            ],
            self._goal,
            self._cost_exponent,
        )
        proposal = safety_probe(problem, rng) if self._is_probe(trial.number, len(contexts)) else None
        proposal = proposal or next_trial(problem, rng)
        return observed.parameters(contexts[proposal.context], proposal, rng)

    def _is_probe(self, number: int, num_contexts: int) -> bool:
        if not self._probe_every or number < num_contexts:
            return False
        return number % self._probe_every == self._probe_every - 1


@dataclass(frozen=True)
class _Place:
    """Where a trial lies in a search space."""

    context: Levelled
    x: float
    """Intensity, decades."""

    observations: tuple[Observation, ...]
    """What the trial shows, by how it ends."""


class _Observed:
    """A search space as the frontier sees it: one axis, and contexts made of levels."""

    def __init__(self, space: Mapping[str, BaseDistribution], intensity: str) -> None:
        self._intensity = intensity
        self._axis = Axis(space[intensity])
        self._levels = context_levels(space, intensity)
        self.span = Span(self._axis.low, self._axis.high)
        self._places: Kept[FrozenTrial, _Place | None] = Kept(self._place)
        self._evidence: dict[Levelled, tuple[list[Observation], Evidence]] = {}

    def places(self, trials: Sequence[FrozenTrial]) -> list[_Place | None]:
        """Return where each trial lies, None where that is another space.

        A trial that has its place keeps it; one without may still be given its parameters.
        """
        places = zip(trials, self._places.of(trials), strict=True)
        return [place if place is not None else self._place(trial) for trial, place in places]

    def evidence(self, context: Levelled, observations: list[Observation]) -> Evidence:
        """Return the tallies of a context's trials, those of the last proposal if nothing has changed."""
        known = self._evidence.get(context)
        if known is None or known[0] != observations:
            if len(self._evidence) > _MAX_KEPT:
                self._evidence.clear()
            known = self._evidence[context] = observations, tallied(observations)
        return known[1]

    def _place(self, trial: FrozenTrial) -> _Place | None:
        if any(name not in trial.params for name in (self._intensity, *self._levels)):
            return None
        levels = [level.of(trial.params[name]) for name, level in self._levels.items()]
        value = trial.params[self._intensity]
        x = self._axis.position(value) if isinstance(value, (int, float)) else math.nan
        if not math.isfinite(x):
            return None
        context = tuple(level for level in levels if level is not None)
        if len(context) < len(levels):
            return None
        x = self.span.rounded(x)
        return _Place(context, x, tuple(Observation(x, result) for result in _RESULTS))

    def contexts(self, seen: Callable[[], list[Levelled]], rng: np.random.Generator) -> list[Levelled]:
        """Return every context; of very many, the latest that were seen, or random ones."""
        counts = [level.count for level in self._levels.values()]
        if math.prod(counts) <= _MAX_CONTEXTS:
            return list(itertools.product(*map(range, counts)))
        drawn = (tuple(int(rng.integers(count)) for count in counts) for _ in range(_MAX_CONTEXTS))
        latest = list(dict.fromkeys(reversed(seen())))[: _MAX_CONTEXTS // 2]
        return list(dict.fromkeys((*latest, *drawn)))[:_MAX_CONTEXTS]

    def prior(self, contexts: Sequence[Levelled], hints: Sequence[PriorHint]) -> Prior:
        """Return what is believed of the contexts before any trial."""
        if hints:
            needed = {row.name for row in of_role("context")}
            if not needed <= set(self._levels) <= set(Context._fields):
                raise ValueError(
                    f"hints are about {', '.join(Context._fields)}, the study has other parameters"
                )
            return context_prior([self._named(context) for context in contexts], self.span, hints)
        values = {
            factor_of(name, is_numeric=level.is_numeric): [level.values[context[i]] for context in contexts]
            for i, (name, level) in enumerate(self._levels.items())
        }
        return factored_prior(values, self.span, len(contexts))

    def _named(self, context: Levelled) -> Context:
        levels = zip(self._levels.items(), context, strict=True)
        return Context(**{name: level.values[index] for (name, level), index in levels})

    def parameters(self, context: Levelled, proposal: Proposal, rng: np.random.Generator) -> dict[str, Any]:
        """Return the values to try."""
        drawn = zip(self._levels.items(), context, strict=True)
        values = {name: level.draw(index, rng) for (name, level), index in drawn}
        return {self._intensity: self._axis.value(proposal.x), **values}


@dataclass(frozen=True)
class _Space:
    """A search space, told apart by how it is written: 1 and 1.0 are equal, and are not the same choice."""

    text: str
    distributions: Mapping[str, BaseDistribution] = field(compare=False)


@lru_cache(maxsize=4)
def _observed(space: _Space, intensity: str) -> _Observed:
    """Return a search space as the frontier sees it, with what earlier samplers saw in it."""
    return _Observed(space.distributions, intensity)


def _is_searchable(distribution: BaseDistribution | None) -> bool:
    return isinstance(distribution, (FloatDistribution, IntDistribution))
