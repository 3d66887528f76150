"""What is believed of the thresholds before any trial: where they lie, and how contexts resemble each other.

Shape letters: C contexts, H hints. Decades.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from stabsearch.frontier.curve import Floats
from stabsearch.frontier.hints import PriorHint
from stabsearch.frontier.likelihood import Span
from stabsearch.records import Context
from stabsearch.records.hyperparameters import IN_CONTEXT, PLACES, Scale, Value

_COMMON_SD = 1.0  # decades; chosen: where the frontier of a model lies in a range of four decades
_COMMON_SHARE = 0.25  # of the range, when that is wider: chosen so that both ends stay thinkable
_OWN_SD = 0.25  # decades; chosen: what is left of a context when precision, warmup and clip are known
_OTHER_SD = 0.35  # decades; chosen: an unnamed factor moves frontiers like warmup does
_COMMON_ERROR = 0.7  # share of a hint's error variance that all hints have in common; chosen
_SD: Mapping[str, float] = {
    "precision": 0.6,  # chosen: contexts that are dead altogether are modelled apart
    "warmup_steps": 0.35,  # published and measured effects of warmup are 0.05 to 0.7
    "max_grad_norm": 0.3,  # global clipping moves frontiers by a fraction of a decade (arXiv:2504.02507)
    "weight_decay": 0.15,  # chosen: over a few hundred steps it hardly moves the weights
    "adam_beta1": 0.35,  # chosen: 0.9 to 0.95 doubles the edge of stability (arXiv:2207.14484), 0.3 decades
    "adam_beta2": 0.3,  # chosen: a shorter memory forgives spikes; reported effects are below a factor of 3
    "adam_epsilon": 0.4,  # chosen: nothing while it is far below the gradients, a lot where it reaches them
    "per_device_train_batch_size": 0.35,  # chosen: about its root (arXiv:2405.14578), 0.3 decades for 4 times
    "gradient_accumulation_steps": 0.35,  # chosen: like the batch size, which it multiplies
}
"""Prior standard deviation of each hyperparameter's effect, decades."""

Alike = Scale | Literal["rank"]


@dataclass(frozen=True)
class Factor:
    """Something in which contexts differ, and by how much it moves frontiers."""

    name: str
    sd: float
    """Prior standard deviation of its effect, decades."""
    alike: Alike = "category"
    """How values resemble each other: by distance on a scale of the table of hyperparameters, or in
    rank; values of a ``category`` are equal or not."""
    kills: bool = False
    """Whether one value of it can make training fail at any intensity."""

    def correlation(self, values: Sequence[Value | None]) -> Floats:
        """Return the prior correlation of its effect between contexts: [C, C].

        None, a value that is not known, resembles nothing but itself.
        """
        if self.alike == "category":
            return np.array([[float(a == b) for b in values] for a in values]).reshape(
                len(values), len(values)
            )
        known = [float(value) for value in values if value is not None]
        place_of = dict(zip(known, self._places(known), strict=True))
        place_C = np.array([math.inf if value is None else place_of[float(value)] for value in values])
        with np.errstate(invalid="ignore"):
            distance_CC = np.abs(place_C[:, None] - place_C[None, :])
        distance_CC[np.isnan(distance_CC)] = 0.0  # both none, or both unknown
        similar_CC: Floats = np.exp(-distance_CC)
        return similar_CC

    def _places(self, values: Sequence[float]) -> list[float]:
        """Return where values stand; by rank where the scale does not reach one of them."""
        if self.alike not in {"rank", "category"}:
            with suppress(ValueError):
                return [PLACES[self.alike](value) for value in values]  # type: ignore[index]
        ranks = {value: rank for rank, value in enumerate(sorted(set(values)))}
        return [float(ranks[value]) for value in values]


CONTEXT_FACTORS = tuple(
    Factor(row.name, _SD[row.name], row.scale, kills=row.name == "precision") for row in IN_CONTEXT
)


def factor_of(name: str, *, is_numeric: bool) -> Factor:
    """Return what is known of a parameter by its name; anything else is a factor of usual strength."""
    known = next((factor for factor in CONTEXT_FACTORS if factor.name == name), None)
    if known is None:
        return Factor(name, _OTHER_SD, "rank" if is_numeric else "category")
    return known if is_numeric or known.alike == "category" else replace(known, alike="category")


@dataclass(frozen=True, eq=False)
class Prior:
    """A Gaussian over the thresholds of all contexts, and which of them can only be dead together."""

    mean_C: Floats
    covariance_CC: Floats
    group_C: tuple[Hashable, ...]
    """Contexts of one group share whatever makes training fail at any intensity (one precision)."""


def factored_prior(
    values: Mapping[Factor, Sequence[Value | None]], searched: Span, num_contexts: int
) -> Prior:
    """Return the prior of contexts that differ in some factors.

    The covariance is additive: what all contexts share, each factor's effect, and a remainder of
    each context's own. The signs of effects are left open.

    Args:
        values: each factor's value in every context.
        searched: the range; its middle is the prior mean.
        num_contexts: how many contexts there are.
    """
    common = max(_COMMON_SD, _COMMON_SHARE * (searched.high - searched.low))
    covariance_CC = common**2 + _OWN_SD**2 * np.eye(num_contexts)
    for factor, column in values.items():
        covariance_CC = covariance_CC + factor.sd**2 * factor.correlation(column)
    killers = [column for factor, column in values.items() if factor.kills]
    groups = tuple(zip(*killers, strict=True)) if killers else tuple(range(num_contexts))
    mean_C = np.full(num_contexts, 0.5 * (searched.low + searched.high))
    return Prior(mean_C, covariance_CC, groups)


def context_prior(contexts: Sequence[Context], searched: Span, hints: Sequence[PriorHint] = ()) -> Prior:
    """Return the prior of contexts; they differ in precision, warmup, clip norm and what else is searched.

    A hint about a context moves it, and by the prior's covariance whatever resembles it; a hint
    about a precision moves the mean of its contexts.
    """
    hinted = [hint.context for hint in hints if hint.context is not None]
    everything = [*contexts, *hinted]
    columns = {factor: [getattr(each, factor.name) for each in everything] for factor in CONTEXT_FACTORS}
    told_apart = {factor: values for factor, values in columns.items() if any(v is not None for v in values)}
    prior = factored_prior(told_apart, searched, len(everything))
    weights = zip(_hinted_weights(contexts, hints), hints, strict=True)
    about = [(weight_C, hint) for weight_C, hint in weights if weight_C.any()]
    if about:
        prior = _told(prior, np.array([weight_C for weight_C, _ in about]), [hint for _, hint in about])
    kept = slice(len(contexts))
    return Prior(prior.mean_C[kept], prior.covariance_CC[kept, kept], prior.group_C[kept])


def _hinted_weights(contexts: Sequence[Context], hints: Sequence[PriorHint]) -> list[Floats]:
    """Return what each hint is about, as weights over the contexts and the contexts of hints."""
    num_hinted = sum(hint.context is not None for hint in hints)
    weights, place = [], len(contexts)
    for hint in hints:
        weight_C = np.zeros(len(contexts) + num_hinted)
        if hint.context is not None:
            weight_C[place] = 1.0
            place += 1
        else:
            weight_C[: len(contexts)] = [context.precision == hint.precision for context in contexts]
            weight_C /= max(weight_C.sum(), 1.0)
        weights.append(weight_C)
    return weights


def _told(prior: Prior, weight_HC: Floats, hints: Sequence[PriorHint]) -> Prior:
    """Return the prior once weighted means of thresholds have been observed, with Gaussian errors.

    Hints err together: another model or data set moves all frontiers of an earlier sweep, and a
    probe that is off for this model is off in every precision.
    """
    sd_H = np.array([hint.sd for hint in hints])
    error_HH = _COMMON_ERROR * np.outer(sd_H, sd_H) + (1 - _COMMON_ERROR) * np.diag(sd_H**2)
    shared_HC = weight_HC @ prior.covariance_CC
    gain_CH = np.linalg.solve(shared_HC @ weight_HC.T + error_HH, shared_HC).T
    surprise_H = np.array([hint.mean for hint in hints]) - weight_HC @ prior.mean_C
    covariance_CC = prior.covariance_CC - gain_CH @ shared_HC
    symmetric_CC = 0.5 * (covariance_CC + covariance_CC.T)
    return replace(prior, mean_C=prior.mean_C + gain_CH @ surprise_H, covariance_CC=symmetric_CC)
