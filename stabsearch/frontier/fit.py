"""From a table of trials to the frontier."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence

import pandas as pd

from stabsearch.frontier.frontier import Frontier
from stabsearch.frontier.hints import PriorHint
from stabsearch.frontier.trials import ContextTrials, TableError, context_trials, record_trials
from stabsearch.records import Context, TrialRecord


def fit(
    trials: pd.DataFrame,
    max_failure_probability: float = 0.1,
    learning_rate_range: tuple[float, float] | None = None,
    confidence: float = 0.9,
    contexts: Sequence[Context] | None = None,
    hints: Sequence[PriorHint] = (),
) -> Frontier:
    """Return the frontier that a table of trials shows.

    Args:
        trials: one row per trial, columns learning_rate, precision, warmup_steps, max_grad_norm and
            outcome, as in ``trials.csv``. Where they are there, weight_decay, adam_beta1, adam_beta2,
            adam_epsilon, per_device_train_batch_size and gradient_accumulation_steps tell contexts
            apart too; and of ``grade``: only contexts in which a survivor learned are recommended.
            Others are ignored. Rows that prove nothing about stability (oom, lost, ...) are left
            out; their order does not matter.
        max_failure_probability: the risk that defines the frontier.
        learning_rate_range: lowest and highest learning rate searched; default: those of the
            trials. A trial outside it still counts.
        confidence: probability of the credible intervals.
        contexts: contexts to report even without trials.
        hints: what is known beforehand of where frontiers lie, with its uncertainty.

    Raises:
        TableError: missing columns, unknown outcomes, unusable values, an impossible range. It is a
            ValueError and a UserError.
    """
    _check_probability("max_failure_probability", max_failure_probability, 0.0, 0.5)
    _check_probability("confidence", confidence, 0.5, 1.0)
    groups = context_trials(trials, contexts or ())
    searched = learning_rate_range if learning_rate_range is not None else _spanned(groups)
    return _frontier(groups, max_failure_probability, searched, confidence, hints)


def fit_records(
    records: Iterable[TrialRecord],
    max_failure_probability: float,
    learning_rate_range: tuple[float, float],
    confidence: float,
    contexts: Sequence[Context],
    hints: Sequence[PriorHint] = (),
) -> Frontier:
    """Return what ``fit`` returns of the records' table, the trials of other contexts left out.

    After every trial all records are fitted again: whatever did not change is not looked at again.
    """
    _check_probability("max_failure_probability", max_failure_probability, 0.0, 0.5)
    _check_probability("confidence", confidence, 0.5, 1.0)
    groups = record_trials(list(records), contexts)
    return _frontier(groups, max_failure_probability, learning_rate_range, confidence, hints)


_RECENT: deque[Frontier] = deque(maxlen=4)  # chosen: what is shown and what the search stops by


def _frontier(
    groups: tuple[ContextTrials, ...],
    max_failure_probability: float,
    learning_rate_range: tuple[float, float],
    confidence: float,
    hints: Sequence[PriorHint],
) -> Frontier:
    """Return the frontier of some evidence: the very one that was fitted to it lately, if there is one."""
    searched = _checked_range(learning_rate_range)
    frontier = Frontier(float(max_failure_probability), float(confidence), searched, groups, tuple(hints))
    for known in list(_RECENT):
        if known == frontier:
            return known
    _RECENT.append(frontier)
    return frontier


def refit(frontier: Frontier, records: Iterable[TrialRecord]) -> Frontier:
    """Return what other records of the same search show: same risk, range, contexts and hints."""
    contexts = [trials.context for trials in frontier.trials]
    return fit_records(
        records,
        frontier.max_failure_probability,
        frontier.learning_rate_range,
        frontier.confidence,
        contexts,
        frontier.hints,
    )


def _checked_range(learning_rate_range: tuple[float, float]) -> tuple[float, float]:
    low, high = map(float, learning_rate_range)
    if not (math.isfinite(low) and math.isfinite(high) and 0 < low <= high):
        raise TableError(
            f"learning_rate_range: impossible range ({low:g}, {high:g})",
            "allowed: two finite numbers above 0, the lower one first",
        )
    return low, high


def _spanned(groups: Sequence[ContextTrials]) -> tuple[float, float]:
    xs = [tally.x for trials in groups for tally in trials.evidence]
    if not xs:
        raise TableError(
            "no trial is evidence, so the learning rates searched are unknown", "give learning_rate_range"
        )
    return 10.0 ** min(xs), 10.0 ** max(xs)


def _check_probability(name: str, value: float, low: float, high: float) -> None:
    if not (low < value < high or value == low > 0):
        raise TableError(
            f"{name}: got {value!r}", f"allowed: {'at least' if low else 'above'} {low:g}, below {high:g}"
        )
