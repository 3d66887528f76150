"""One row of the frontier's table."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from stabsearch.frontier.likelihood import Span
from stabsearch.frontier.trials import ContextTrials
from stabsearch.frontier.verdict import ContextVerdict, verdict_of


@dataclass(frozen=True)
class FrontierRow:
    """What the trials say of one context; learning rates lie inside the range or are NaN."""

    precision: str
    warmup_steps: int
    max_grad_norm: float
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

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Return the column names, in order."""
        return tuple(field.name for field in fields(cls))

    def as_dict(self) -> dict[str, Any]:
        """Return the row by column name."""
        return asdict(self)


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
        *trials.context,
        lr_safe=median if verdict.has_frontier else math.nan,
        lr_low=math.nan if is_dead else low,
        lr_high=math.nan if is_dead else high,
        width_decades=math.nan if is_dead else math.log10(high / low),
        num_trials=trials.num_trials,
        num_failed=trials.num_failed,
        verdict=verdict.value,
        non_monotone=is_contradicted,
    )
