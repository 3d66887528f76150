"""When a search has taught enough."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
from round_samples import BF16, FP32, RULES, confirming, fitted, plan_of, searched

from stabsearch.frontier.fit import refit
from stabsearch.frontier.labels import relabel
from stabsearch.frontier.stopping import SearchEnd, Stopping, mean_error, search_end, why_ended
from stabsearch.records import Outcome, Stage, StepTrace, TrialRecord
from stabsearch.testing.records import record_of

MAP = Stopping("map", tolerance=0.3, trials=30)


def end_of(
    records: Sequence[TrialRecord], stopping: Stopping = MAP, contexts: Sequence[object] = (FP32,)
) -> SearchEnd | None:
    return search_end(records, contexts, stopping, partial(refit, fitted([], contexts)))


def errors(records: Sequence[TrialRecord]) -> tuple[float, float]:
    """Expected errors after the last trial, and before it."""
    return mean_error(fitted(records), "map"), mean_error(fitted(records[:-1]), "map")


def test_a_search_ends_within_its_tolerance() -> None:
    """The error of this search is below 0.3 decades at its last two trials, and above 0.01."""
    assert max(errors(searched())) < 0.3
    assert end_of(searched()) is SearchEnd.TOLERANCE
    assert end_of(searched(), replace(MAP, tolerance=0.01)) is None
    assert end_of(searched(), replace(MAP, tolerance=None)) is None


def test_once_within_the_tolerance_is_not_enough() -> None:
    """A single trial that narrows the frontier ends no search."""
    records = searched()[:6]
    now, before = errors(records)
    assert now < before
    between = replace(MAP, tolerance=(now + before) / 2)
    assert end_of(records, between) is None
    assert end_of(records, replace(MAP, tolerance=before * 1.001)) is SearchEnd.TOLERANCE


def test_three_trials_per_context_come_first() -> None:
    """Whatever the tolerance is; trials that prove nothing do not count."""
    easy = replace(MAP, tolerance=3.0)
    assert end_of(searched()[:3], easy) is SearchEnd.TOLERANCE
    assert end_of(searched()[:2], easy) is None
    silent = [record_of(plan_of(9, 1e-3), Outcome.OOM)]
    assert end_of([*searched()[:2], *silent], easy) is None
    assert end_of(searched()[:5], easy, (FP32, BF16)) is None


def test_the_order_of_the_records_does_not_matter() -> None:
    """A resumed sweep reads them in another order than they came in."""
    records, tolerance = searched()[:6], replace(MAP, tolerance=sum(errors(searched()[:6])) / 2)
    for seed in range(5):
        shuffled = random.Random(seed).sample(records, len(records))
        assert end_of(shuffled, tolerance) is end_of(records, tolerance) is None


def test_a_confirmation_takes_nothing_back() -> None:
    """Its failures would widen the frontier; the search was over when they came."""
    records = confirming(searched(), 1e-3, survived=0, failed=4)
    tolerance = replace(MAP, tolerance=max(errors(searched())) * 1.001)
    assert mean_error(fitted(records), "map") > tolerance.tolerance
    assert end_of(records, tolerance) is SearchEnd.TOLERANCE


def test_a_confirmation_relabels_nothing_either() -> None:
    """Seeds that learn far better make the search's survivors look collapsed: it stays over."""
    records = confirming(searched(), 1e-3, survived=2)
    whole = [replace(r, trace=_sunk(r.trace)) if r.plan.stage is Stage.CONFIRM else r for r in records]
    labelled = relabel(whole, RULES)
    assert labelled[3].outcome is Outcome.COLLAPSED
    tolerance = replace(MAP, tolerance=max(errors(searched())) * 1.001)
    assert end_of(labelled, tolerance) is SearchEnd.TOLERANCE


def _sunk(trace: StepTrace) -> StepTrace:
    return replace(trace, losses=tuple(loss if loss > 1 else -9.0 for loss in trace.losses))


def test_nothing_stable_ends_a_search_without_a_tolerance() -> None:
    """Failures down to the lowest rate: more of them teach nothing."""
    failing = [record_of(plan_of(i, 1e-5 * (1 + i)), Outcome.NONFINITE) for i in range(16)]
    never = replace(MAP, tolerance=None)
    assert end_of(failing, never) is SearchEnd.NOTHING_STABLE
    assert end_of(failing, MAP) is SearchEnd.NOTHING_STABLE
    assert end_of(failing[:3], never) is None


def test_nothing_is_called_unstable_on_the_word_of_other_contexts() -> None:
    """Each has to fail by itself, three times, before the whole space is given up."""
    failing = [
        record_of(plan_of(i, 1e-5 * (1 + i), context=BF16 if i in {3, 4} else FP32), Outcome.NONFINITE)
        for i in range(16)
    ]
    assert end_of(failing, replace(MAP, tolerance=None), (FP32, BF16)) is None


def test_a_context_that_cannot_win_counts_little_for_a_recommendation() -> None:
    """A far lower frontier in bf16, barely known, keeps a map open and not a recommendation."""
    shares = (0.8, 0.85, 0.9, 1.15, 1.2, 1.3)
    sharp = searched(boundary=0.1) + [
        record_of(plan_of(30 + i, 0.1 * share), Outcome.STABLE if share < 1 else Outcome.NONFINITE)
        for i, share in enumerate(shares)
    ]
    poor = [
        record_of(plan_of(20 + i, rate, context=BF16), Outcome.NONFINITE)
        for i, rate in enumerate([1e-2, 3e-3])
    ]
    frontier = fitted([*sharp, *poor], (FP32, BF16))
    assert mean_error(frontier, "recommend") < 0.5 * mean_error(frontier, "map")


@pytest.mark.parametrize(
    ("stopping", "said"),
    [
        (MAP, "ended after 9 of 30 trials, by its tolerance: the frontier is known to 0."),
        (replace(MAP, trials=9), "ended after 9 trials, with its budget"),
        (replace(MAP, tolerance=None), "has run 9 of 30 trials (interrupted, or still running)"),
        (replace(MAP, tolerance=None, wall_clock_s=60.0), "stopped by its wall clock of 60 s"),
        (replace(MAP, tolerance=0.01, goal="recommend"), "what may be best is known to 0."),
    ],
)
def test_why_a_search_ended_is_said(stopping: Stopping, said: str) -> None:
    """Tolerance, budget or wall clock, each with what is known by then."""
    sentence = why_ended(searched(), (FP32,), stopping, partial(refit, fitted([])))
    assert said in sentence
    assert sentence.endswith(".")


def test_without_a_search_nothing_ended() -> None:
    """A canary that broke is a verdict of its own."""
    assert why_ended([], (FP32,), MAP, partial(refit, fitted([]))) == ""
