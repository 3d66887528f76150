"""One row of the frontier's table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from stabsearch.frontier.likelihood import Span
from stabsearch.frontier.trials import ContextTrials
from stabsearch.frontier.verdict import ContextVerdict, verdict_of
from stabsearch.records import Context
from stabsearch.records.hyperparameters import of_role


@dataclass(frozen=True)
class FrontierRow:
    """What the trials say of one context; learning rates lie inside the range or are NaN."""

    context: Context
    lr_safe: float
    """Posterior median of the frontier; NaN unless the verdict is bounded or stable_to_top."""
    lr_low: float
    """Lower end of the credible interval; NaN when there is no stable region."""
    lr_high: float
    """Upper end of the credible interval; NaN when there is no stable region."""
    width_decades: float
    """Width of that interval, decades."""
    num_trials: int
    """Trials that are evidence."""
    num_failed: int
    """Those that failed because of their hyperparameters."""
    verdict: str
    """A ``ContextVerdict``."""
    non_monotone: bool
    """Failures stand where a curve that grows with the learning rate cannot have them: there is an
    island of instability below the frontier, or something else than the learning rate decides."""

    @property
    def precision(self) -> str:
        """Return the precision of the context."""
        return self.context.precision

    @classmethod
    def columns(cls, further: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the column names, in order: the context's, then what is said of it.

        Args:
            further: what tells contexts apart beside precision, warmup and clip norm.
        """
        said = (field.name for field in fields(cls) if field.name != "context")
        return *(row.name for row in of_role("context")), *further, *said

    def as_dict(self) -> dict[str, Any]:
        """Return the row by column name, without what was not searched."""
        said = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "context"}
        return {**self.context.settings, **said}


def frontier_row(
    trials: ContextTrials,
    interval: tuple[float, float, float],
    learning_rate_range: tuple[float, float],
    *,
    is_contradicted: bool,
    is_low_end_broken: bool,
) -> FrontierRow:
    """Return the row of one context from the low, median and high of its threshold, in decades."""
    lowest, highest = learning_rate_range
    searched = Span(math.log10(lowest), math.log10(highest))
    verdict = verdict_of(trials.num_trials, interval, searched, is_low_end_broken=is_low_end_broken)
    low, median, high = (min(max(10.0**x, lowest), highest) for x in interval)
    is_dead = verdict is ContextVerdict.NO_STABLE_REGION
    return FrontierRow(
        trials.context,
        lr_safe=median if verdict.has_frontier else math.nan,
        lr_low=math.nan if is_dead else low,
        lr_high=math.nan if is_dead else high,
        width_decades=math.nan if is_dead else math.log10(high / low),
        num_trials=trials.num_trials,
        num_failed=trials.num_failed,
        verdict=verdict.value,
        non_monotone=is_contradicted,
    )
