"""The fitted frontier: tables, predictions, a recommendation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from stabsearch.frontier import recommendation
from stabsearch.frontier.answer import Recommendation
from stabsearch.frontier.curve import FailureCurve
from stabsearch.frontier.document import decode, encode
from stabsearch.frontier.effects import Effect, effects_of
from stabsearch.frontier.evidence import settled
from stabsearch.frontier.hints import PriorHint
from stabsearch.frontier.likelihood import Span
from stabsearch.frontier.monotone import is_contradicted
from stabsearch.frontier.posterior import Posterior, posterior_of
from stabsearch.frontier.prior import context_prior
from stabsearch.frontier.row import FrontierRow, frontier_row
from stabsearch.frontier.trials import (
    CONTEXT_COLUMNS,
    FURTHER_COLUMNS,
    ContextTrials,
    TableError,
    contexts_of,
    log_learning_rates,
    require_columns,
)
from stabsearch.frontier.verdict import LOW_END, ContextVerdict
from stabsearch.records import Context


@dataclass(frozen=True)
class Frontier:
    """Per context, the largest learning rate whose failure probability is at most the stated risk.

    Everything follows from these fields, so two frontiers are equal when their evidence is.
    """

    max_failure_probability: float
    """The risk: failure probability at the frontier, within the horizon of the trials."""
    confidence: float
    """Probability of the credible intervals."""
    learning_rate_range: tuple[float, float]
    """Lowest and highest learning rate searched."""
    trials: tuple[ContextTrials, ...]
    """The evidence, one entry per context, in the order of ``table``."""
    hints: tuple[PriorHint, ...] = ()
    """What was known beforehand of where thresholds lie."""

    @cached_property
    def posterior(self) -> Posterior:
        """Return the posterior over the thresholds; its contexts stand in the order of ``table``."""
        evidence = settled([trials.evidence for trials in self.trials])
        prior = context_prior([trials.context for trials in self.trials], self.searched, self.hints)
        return posterior_of(FailureCurve(self.max_failure_probability), self.searched, evidence, prior)

    @property
    def searched(self) -> Span:
        """Return the learning-rate range in decades."""
        low, high = self.learning_rate_range
        return Span(math.log10(low), math.log10(high))

    @cached_property
    def rows(self) -> tuple[FrontierRow, ...]:
        """Return the rows of ``table`` as plain data."""
        tail = (1 - self.confidence) / 2
        broken = self._broken_at_the_low_end
        low_C, median_C, high_C = (self.posterior.quantile(q) for q in (tail, 0.5, 1 - tail))
        return tuple(
            frontier_row(
                trials,
                (float(low), float(median), float(high)),
                self.learning_rate_range,
                is_contradicted=is_contradicted(
                    trials.evidence, float(low), self.posterior.curve.failure_lapse
                ),
                is_low_end_broken=trials.context.precision in broken,
            )
            for trials, low, median, high in zip(self.trials, low_C, median_C, high_C, strict=True)
        )

    @property
    def _broken_at_the_low_end(self) -> set[str]:
        """Return the precisions in which a trial failed near the low end of the range."""
        edge = self.searched.low + LOW_END
        return {each.context.precision for each in self.trials if each.lowest_failed <= edge}

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """Return by what factor each value of what is searched moves the frontier.

        Joint over contexts, so what all contexts share cancels out.
        """
        if not self.trials:
            return ()
        span = self.searched
        theta_NC = np.clip(self.posterior.draws(), span.low, span.high)
        is_usable = [row.verdict == ContextVerdict.BOUNDED for row in self.rows]
        return effects_of([each.context for each in self.trials], theta_NC, is_usable, self.confidence)

    @property
    def table(self) -> pd.DataFrame:
        """Return one row per context; columns as in ``FrontierRow``."""
        columns = list(FrontierRow.columns(self.further))
        return pd.DataFrame([row.as_dict() for row in self.rows], columns=columns)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the table, under what it is a table of."""
        head = (
            f"Largest learning rate whose failure probability is at most {self.max_failure_probability:.3g}; "
            f"lr_low, lr_high: {100 * self.confidence:g} % credible interval"
        )
        shown: str = self.table.to_html(index=False, float_format="{:.3g}".format, border=0)
        return f"<div><p>{head}</p>{shown}</div>"

    @property
    def further(self) -> tuple[str, ...]:
        """Return what tells contexts apart beside precision, warmup and clip norm."""
        named = {name for each in self.trials for name in each.context.further}
        return tuple(name for name in FURTHER_COLUMNS if name in named)

    def predict(self, configs: pd.DataFrame) -> pd.DataFrame:
        """Return failure_probability, probability_low, probability_high for each configuration.

        The posterior mean of failing within the trials' horizon and its credible interval, under
        the index of ``configs``.

        Args:
            configs: columns learning_rate, precision, warmup_steps, max_grad_norm, and what else was
                searched; a column of that may be missing where a single value was. Others are ignored.

        Raises:
            TableError: missing column, unusable value, or a context that was not searched.
        """
        require_columns(configs, ("learning_rate", *CONTEXT_COLUMNS))
        placed = self._with_what_was_searched(configs)
        points = zip(configs.index, contexts_of(placed), log_learning_rates(configs), strict=True)
        columns = ["failure_probability", "probability_low", "probability_high"]
        predicted = [self.failure(self._position(context, f"row {row}: "), x) for row, context, x in points]
        return pd.DataFrame(predicted, index=configs.index, columns=columns, dtype=float)

    def _with_what_was_searched(self, configs: pd.DataFrame) -> pd.DataFrame:
        """Return configurations with a column for what tells contexts apart, and for nothing else."""
        searched = {name: {each.context.further.get(name) for each in self.trials} for name in self.further}
        only = {
            name: values.pop()
            for name, values in searched.items()
            if name not in configs.columns and len(values) == 1
        }
        require_columns(configs, [name for name in searched if name not in only])
        others = [name for name in FURTHER_COLUMNS if name not in searched]
        return configs.drop(columns=others, errors="ignore").assign(**only)

    def failure(self, position: int, x: float) -> tuple[float, float, float]:
        """Return mean, low and high of P(fail) at a log10 learning rate, by row of ``table``."""
        mean = self.posterior.failure_probability(position, x)
        low, high = self.posterior.failure_interval(position, x, self.confidence)
        return mean, min(low, mean), max(high, mean)  # a skewed posterior can leave its mean outside

    def recommend(self) -> Recommendation | None:
        """Return the configuration that trains fastest among the safe ones, or None; see ``why_not``.

        The context whose frontier has the highest lower credible bound, at that bound. Contexts
        within 0.1 decades of it count as equal, and the cheapest precision among them is taken. The
        learning rate is rounded down to three significant digits, to be readable and no less safe.
        """
        choice = self._choice
        if isinstance(choice, str):
            return None
        position, x = choice
        return self.at(position, 10.0**x)

    def at(self, position: int, learning_rate: float) -> Recommendation:
        """Return a configuration by row of ``table``, its learning rate as ``readable`` makes it."""
        rate = self.readable(learning_rate)
        return Recommendation(self.trials[position].context, rate, *self.failure(position, math.log10(rate)))

    def readable(self, learning_rate: float) -> float:
        """Return a learning rate inside the searched range, rounded down to three significant digits."""
        low, high = self.learning_rate_range
        return max(low, rounded_down(min(learning_rate, high)))

    @property
    def why_not(self) -> str:
        """Return why nothing is recommended, in one sentence; empty when something is."""
        return self._choice if isinstance(self._choice, str) else ""

    @cached_property
    def _choice(self) -> tuple[int, float] | str:
        return recommendation.choose(self.trials, self.limits)

    @cached_property
    def limits(self) -> tuple[float | str, ...]:
        """Return, by row of ``table``, the highest safe log10 learning rate, or why none can be named."""
        lower_C = self.posterior.quantile((1 - self.confidence) / 2)
        return recommendation.limits(self.trials, self.rows, lower_C, self.searched)

    def to_json(self) -> dict[str, Any]:
        """Return strict JSON data that is enough to predict without the trials."""
        return encode(
            self.max_failure_probability,
            self.confidence,
            self.learning_rate_range,
            self.trials,
            self.rows,
            self.effects,
            self.hints,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Frontier:
        """Return the frontier that ``to_json`` wrote, exactly.

        Raises:
            ValueError: written by a version this one does not read.
        """
        return cls(*decode(data))

    def _position(self, context: Context, place: str) -> int:
        known = [trials.context for trials in self.trials]
        if context in known:
            return known.index(context)
        raise TableError(
            f"{place}no trials were planned for {context.label}",
            f"known contexts: {'; '.join(context.label for context in known) or 'none'}",
        )


def rounded_down(learning_rate: float) -> float:
    """Return the largest number of three significant digits that is not above a learning rate.

    >>> rounded_down(0.0012199247359345406)
    0.00121
    """
    exact = Decimal(learning_rate)
    digit = Decimal((0, (1,), exact.adjusted() - 2))
    # a rate that was written with three digits is a hair off them in binary: keep it
    written = Decimal(repr(learning_rate))
    return float((written if written == written.quantize(digit) else exact).quantize(digit, ROUND_DOWN))
