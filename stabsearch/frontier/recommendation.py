"""Which context, and how high its learning rate may go; or why none may."""

from __future__ import annotations

from collections.abc import Sequence

from stabsearch.frontier.curve import Floats
from stabsearch.frontier.likelihood import Span
from stabsearch.frontier.row import FrontierRow
from stabsearch.frontier.trials import ContextTrials
from stabsearch.frontier.verdict import ContextVerdict
from stabsearch.records.precision import NUMBER_FORMATS

_EQUAL = 0.1  # decades; chosen: learning rates this close train equally fast
_STEP_BELOW_FAILURE = 0.1  # decades; chosen: clearly another learning rate than the one that failed


def choose(trials: Sequence[ContextTrials], limits_C: Sequence[float | str]) -> tuple[int, float] | str:
    """Return context position and log10 learning rate, or the reason why nothing is recommended.

    Args:
        trials: evidence per context.
        limits_C: what ``limits`` says of each.
    """
    if not any(each.num_trials for each in trials):
        return "no trial has said anything about stability yet"
    allowed = {position: limit for position, limit in enumerate(limits_C) if not isinstance(limit, str)}
    if not allowed:
        reasons = dict.fromkeys(limits_C)
        if len(reasons) == 1:
            return f"in every context {limits_C[0]}"
        return "; ".join(f"{each.context.label}: {why}" for each, why in zip(trials, limits_C, strict=True))
    best = max(allowed.values())
    equals = [position for position, limit in allowed.items() if limit >= best - _EQUAL]
    chosen = min(equals, key=lambda i: (cost(trials[i].context.precision), -allowed[i], i))
    return chosen, allowed[chosen]


def limits(
    trials: Sequence[ContextTrials], rows: Sequence[FrontierRow], lower_C: Floats, searched: Span
) -> tuple[float | str, ...]:
    """Return, per context, the log10 learning rate up to which ``choose`` may go, or why it may not.

    Args:
        trials: evidence per context.
        rows: verdicts, in the same order.
        lower_C: lower credible bound of each threshold, decades, not clipped to the range.
        searched: the learning-rate range.
    """
    bounds = [_safe_bound(each, float(lower), searched) for each, lower in zip(trials, lower_C, strict=True)]
    return tuple(
        _refusal(each, row, bound, searched) or bound
        for each, row, bound in zip(trials, rows, bounds, strict=True)
    )


def cost(precision: str) -> int:
    """Return the rank of a precision by cost; an unknown one counts as the most expensive."""
    costs = {name: each.cost for name, each in NUMBER_FORMATS.items()}
    return costs.get(precision, max(costs.values()))  # type: ignore[call-overload, no-any-return]


def _safe_bound(trials: ContextTrials, lower: float, searched: Span) -> float:
    """Return the lower bound, inside the range's top, and below every learning rate that failed."""
    return min(lower, searched.high, trials.lowest_failed - _STEP_BELOW_FAILURE)


def _refusal(trials: ContextTrials, row: FrontierRow, bound: float, searched: Span) -> str:
    """Return why this context cannot be recommended; empty when it can."""
    if row.verdict == ContextVerdict.NO_STABLE_REGION:
        return "even the lowest learning rate of the range fails too often"
    if row.verdict == ContextVerdict.NOT_ENOUGH_EVIDENCE:
        return "the trials leave too wide an interval to name a safe learning rate"
    if not trials.num_learned:
        return "no surviving trial has learned anything"
    if bound < searched.low:
        return "the trials do not show that the lowest learning rate of the range is safe"
    return ""
