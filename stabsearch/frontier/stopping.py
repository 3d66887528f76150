"""When a search has taught enough: a function of its trials alone, so that a resumed sweep decides alike.

Shape letters: C contexts. Decades.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from operator import lt

import numpy as np

from stabsearch.frontier.frontier import Frontier
from stabsearch.frontier.kept import Kept
from stabsearch.frontier.labels import relabel
from stabsearch.frontier.problem import Goal
from stabsearch.frontier.verdict import ContextVerdict
from stabsearch.records import Context, OutcomeRules, Stage, TrialPlan, TrialRecord

MIN_TRIALS_PER_CONTEXT = 3  # chosen: fewer, on average, and the prior would decide

FitTo = Callable[[Sequence[TrialRecord]], Frontier]
"""Records -> the frontier that they show."""


class SearchEnd(StrEnum):
    """Why a search needs no more trials."""

    NOTHING_STABLE = "nothing_stable"
    """Even the lowest learning rate of the range fails too often in every context."""
    TOLERANCE = "tolerance"
    """The frontier is known as closely as was asked for."""


@dataclass(frozen=True)
class Stopping:
    """How long a search goes on."""

    goal: Goal = "map"
    """``map``: every context counts alike; ``recommend``: by its chance to be the best."""
    tolerance: float | None = None
    """Mean expected error of the frontier at which it ends, decades; None: never."""
    trials: int = 0
    """Trials that it may take, canary included."""
    wall_clock_s: float | None = None
    """Seconds after which nothing new starts; None: no limit."""
    rules: OutcomeRules = field(default_factory=OutcomeRules)
    """Thresholds for labels."""


def search_end(
    records: Sequence[TrialRecord], contexts: Collection[Context], stopping: Stopping, fit_to: FitTo
) -> SearchEnd | None:
    """Return why the search is over, None while it is not.

    Said only from three trials per context on (on average; that nothing is stable, in each), and only
    when it held before the latest trial too: one lucky trial ends no search. Trials of a confirmation
    do not count, not even as peers for labels, so that nothing they show takes it back.

    Args:
        records: every finished trial, labelled.
        contexts: those searched.
        stopping: when to stop.
        fit_to: fits the frontier of these contexts.
    """
    known = _evident(records)
    needed = MIN_TRIALS_PER_CONTEXT * len(contexts)
    if len(list(islice((None for record in known if record.plan.context in contexts), needed))) < needed:
        return None
    reasons = _reasons(fit_to(relabel(known, stopping.rules)), stopping)
    if reasons:
        reasons &= _reasons(fit_to(relabel(known[:-1], stopping.rules)), stopping)
    return next((reason for reason in SearchEnd if reason in reasons), None)


def _evident(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials of the search that are evidence, in trial order."""
    numbers = _EVIDENT_NUMBERS.of(records)
    known = [record for record, number in zip(records, numbers, strict=True) if number is not None]
    counted = [number for number in numbers if number is not None]
    is_in_order = all(map(lt, counted, counted[1:]))
    return known if is_in_order else sorted(known, key=lambda record: record.plan.number)


def _evident_number(record: TrialRecord) -> int | None:
    return record.plan.number if is_searching(record.plan) and record.is_evidence else None


_EVIDENT_NUMBERS: Kept[TrialRecord, int | None] = Kept(_evident_number)


def searching(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials of the search, canary included, in trial order."""
    kept = [record for record in records if is_searching(record.plan)]
    return sorted(kept, key=lambda record: record.plan.number)


def is_searching(plan: TrialPlan) -> bool:
    """Return whether a trial belongs to the search; the canary does."""
    return plan.stage is Stage.SEARCH or plan.stage is Stage.CANARY


def mean_error(frontier: Frontier, goal: Goal) -> float:
    """Return how far the frontier is expected to lie from its median, decades, on average over contexts."""
    error_C = frontier.posterior.expected_error(frontier.searched)
    is_map = goal == "map"
    weight_C = np.ones(len(error_C)) if is_map else frontier.posterior.chance_to_be_best(frontier.searched)
    return float(weight_C @ error_C / weight_C.sum())


def is_nothing_stable(frontier: Frontier) -> bool:
    """Return whether every context lacks a stable region."""
    return {row.verdict for row in frontier.rows} == {ContextVerdict.NO_STABLE_REGION}


def _reasons(frontier: Frontier, stopping: Stopping) -> set[SearchEnd]:
    reasons = set()
    fewest = min((row.num_trials for row in frontier.rows), default=0)
    if is_nothing_stable(frontier) and fewest >= MIN_TRIALS_PER_CONTEXT:
        reasons.add(SearchEnd.NOTHING_STABLE)
    if stopping.tolerance is not None and mean_error(frontier, stopping.goal) <= stopping.tolerance:
        reasons.add(SearchEnd.TOLERANCE)
    return reasons


def why_ended(
    records: Sequence[TrialRecord], contexts: Collection[Context], stopping: Stopping, fit_to: FitTo
) -> str:
    """Return why the search ended, as a sentence; empty when there was none."""
    ran = len([record for record in records if record.plan.stage is not Stage.CONFIRM])
    if not any(record.plan.stage is Stage.SEARCH for record in records):
        return ""
    known = _known(fit_to(relabel(searching(records), stopping.rules)), stopping)
    end = search_end(records, contexts, stopping, fit_to)
    if end is SearchEnd.NOTHING_STABLE:
        return f"The search ended after {ran} trials: no context has a stable region."
    if ran >= stopping.trials:
        return f"The search ended after {ran} trials, with its budget: {known}."
    if end is SearchEnd.TOLERANCE:
        return f"The search ended after {ran} of {stopping.trials} trials, by its tolerance: {known}."
    return f"The search has run {ran} of {stopping.trials} trials ({_cut_short(stopping)}): {known}."


def _known(frontier: Frontier, stopping: Stopping) -> str:
    wanted = "" if stopping.tolerance is None else f" ({stopping.tolerance:g} asked for)"
    whole = "the frontier" if stopping.goal == "map" else "the frontier of what may be best"
    return f"{whole} is known to {mean_error(frontier, stopping.goal):.2f} decades on average{wanted}"


def _cut_short(stopping: Stopping) -> str:
    """Return what may have stopped it: the trials do not tell."""
    if stopping.wall_clock_s is None:
        return "interrupted, or still running"
    return f"stopped by its wall clock of {stopping.wall_clock_s:g} s, interrupted, or still running"
