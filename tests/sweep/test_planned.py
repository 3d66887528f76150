"""A sweep that has passed every check: what it would do, and what its answer is given on."""

from __future__ import annotations

from typing import Any

import pytest

from stabsearch.config import Sweep
from stabsearch.config.resolve import resolve
from stabsearch.search.campaign import stopping_of
from stabsearch.sweep.prepared import Prepared, planned


def prepared_of(max_steps: int = 2000, **parts: Any) -> Prepared:
    sections = {
        "name": "test",
        "task": {"type": "quickstart"},
        "training": {"max_steps": max_steps},
        "search": {"warmup": [0], **parts.pop("search", {})},
        "budget": {"trials": 72, "horizon": 120, **parts.pop("budget", {})},
        **parts,
    }
    sweep = Sweep.model_validate(sections)
    return Prepared(sweep, resolve(sweep, 1000))


def test_a_dry_run_says_how_long_the_search_goes_on() -> None:
    """Goal, tolerance and what it may take at most."""
    assert (
        planned(prepared_of())["search"]
        == "goal map, until known to 0.1 decades on average, 50 trials at most"
    )
    firm = prepared_of(search={"goal": "recommend", "tolerance": None})
    assert planned(firm)["search"] == "goal recommend, 50 trials"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, "plain, 22 fresh seeds, 5 candidates at most"),
        (
            {"risk": {"confirmation": "stress", "max_rounds": 3}},
            "stress, fewer than 22 fresh seeds 0.2 decades above the recommended rate, 3 candidates at most",
        ),
        (
            {"budget": {"bridge_trials": 2}, "risk": {"confirmation_trials": 5}},
            "plain, 5 fresh seeds, 5 candidates at most; 2 bridge trials of 480 steps",
        ),
        ({"risk": {"confirmation_trials": 0}}, "none: the answer stays unconfirmed"),
    ],
)
def test_a_dry_run_says_how_the_candidate_is_confirmed(parts: dict[str, Any], said: str) -> None:
    """Kind, number of seeds, rounds and bridges."""
    assert planned(prepared_of(**parts))["confirmation"] == said


def test_trials_are_kept_for_seeds_and_bridges() -> None:
    """Fewer under stress; never more than half of the budget."""
    assert prepared_of().stages.reserved == 22
    assert prepared_of(budget={"bridge_trials": 3}).stages.reserved == 25
    assert prepared_of(risk={"confirmation": "stress"}).stages.reserved == 18
    assert prepared_of(budget={"trials": 20}).stages.reserved == 10
    assert stopping_of(prepared_of().sweep, prepared_of().stages).trials == 50


@pytest.mark.parametrize(("max_steps", "trials", "horizon"), [(2000, 3, 480), (300, 3, 300), (120, 0, 0)])
def test_bridges_never_run_past_the_full_run(max_steps: int, trials: int, horizon: int) -> None:
    """Where the horizon is the full run, there is nothing to bridge."""
    confirming = prepared_of(max_steps, budget={"bridge_trials": 3}).confirming
    assert (confirming.bridge_trials, confirming.bridge_horizon) == (trials, horizon)


def test_terms_come_back_from_the_study_as_they_were() -> None:
    """Reports are given on what the sweep was run for."""
    prepared = prepared_of(
        risk={"confirmation": "stress"}, budget={"bridge_trials": 1}, search={"tolerance": None}
    )
    again = Prepared.from_json(prepared.to_json())
    assert (again.terms, again.stages) == (prepared.terms, prepared.stages)
    assert prepared.terms.covered_share == prepared.resolved.covered_share
