"""What can be said of one context, in one word."""

from __future__ import annotations

from enum import StrEnum

from stabsearch.frontier.likelihood import Span

LOW_END = 0.3  # decades above the low end of the range; chosen: a failure there speaks for all of it
MIN_TRIALS = 2  # chosen: one trial cannot bracket anything
_MAX_WIDTH = (
    1.5  # decades; chosen: a wider one helps nobody; at 1.0 sweeps of 4 trials per context say nothing
)
_MAX_WIDTH_SHARE = 0.5  # chosen: of a narrow range, half of it says nothing either


class ContextVerdict(StrEnum):
    """What the trials say of one context."""

    BOUNDED = "bounded"
    """The frontier most likely lies inside the range, within the stated interval."""
    STABLE_TO_TOP = "stable_to_top"
    """More likely than not, even the highest learning rate of the range is safe."""
    NO_STABLE_REGION = "no_stable_region"
    """Even the lowest learning rate of the range fails too often, and failures near it were seen."""
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"
    """Fewer than two trials, or an interval wider than 1.5 decades or half the range, or even the
    lowest learning rate is more likely unsafe than safe without that being certain enough."""

    @property
    def has_frontier(self) -> bool:
        """True when a safe learning rate can be named."""
        return self in {ContextVerdict.BOUNDED, ContextVerdict.STABLE_TO_TOP}


def verdict_of(
    num_trials: int, interval: tuple[float, float, float], searched: Span, *, is_low_end_broken: bool
) -> ContextVerdict:
    """Return the verdict on a threshold from the low, median and high of its interval, in decades.

    Nothing is stable when the whole interval lies below the range, and when that was seen: failures
    at high rates alone can only make it probable. The width that counts is that of the interval
    inside the range.

    Args:
        num_trials: trials of the context that are evidence.
        interval: of the threshold, -inf where the context fails at any rate.
        searched: the range.
        is_low_end_broken: whether a trial of this precision failed near the low end of the range.
    """
    low, median, high = interval
    width = min(high, searched.high) - max(low, searched.low)
    is_wide = width > min(_MAX_WIDTH, _MAX_WIDTH_SHARE * (searched.high - searched.low))
    if num_trials < MIN_TRIALS:
        return ContextVerdict.NOT_ENOUGH_EVIDENCE
    if high < searched.low:
        return ContextVerdict.NO_STABLE_REGION if is_low_end_broken else ContextVerdict.NOT_ENOUGH_EVIDENCE
    if is_wide or median < searched.low:
        return ContextVerdict.NOT_ENOUGH_EVIDENCE
    return ContextVerdict.STABLE_TO_TOP if median >= searched.high else ContextVerdict.BOUNDED
