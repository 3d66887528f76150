"""Samplers by name, made anew for every trial."""

from __future__ import annotations

from collections import Counter

import optuna
import pytest
from sampler_samples import SPACE, boundary_at, proposals

from stabsearch.errors import UserError
from stabsearch.frontier.problem import Goal
from stabsearch.search.samplers import SAMPLER_NAMES, make_sampler, sampler_seed

optuna.logging.set_verbosity(optuna.logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

NUM_TRIALS = 13  # past the start-up phases of tpe and gp


def sweep(name: str, seed: int, num_trials: int, study: optuna.Study | None = None) -> optuna.Study:
    """Return a study asked with a new sampler for every trial, as a sweep does."""
    study = study or optuna.create_study(direction="maximize")
    for number in range(len(study.trials), num_trials):
        study.sampler = make_sampler(
            name,
            sampler_seed(name, seed, number),
            max_failure_probability=0.1,
            search_space=SPACE,
            grid_levels=3,
        )
        trial = study.ask(SPACE)
        study.tell(trial, boundary_at(1e-4)(trial.params))
    return study


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_a_sweep_that_was_interrupted_proposes_what_an_undisturbed_one_does(name: str) -> None:
    """Same seed, same trials so far: the same next proposal, by any sampler."""
    whole = sweep(name, 7, NUM_TRIALS)
    resumed = sweep(name, 7, NUM_TRIALS, sweep(name, 7, NUM_TRIALS - 5))
    assert proposals(resumed) == proposals(whole)


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_another_seed_proposes_otherwise(name: str) -> None:
    """No sampler forgets its seed."""
    assert proposals(sweep(name, 7, 3)) != proposals(sweep(name, 8, 3))


@pytest.mark.parametrize("name", sorted(set(SAMPLER_NAMES) - {"gp"}))
def test_every_context_gets_trials(name: str) -> None:
    """A sampler made anew does not choose the same context for ever."""
    study = sweep(name, 7, 24)
    assert len({(p["precision"], p["warmup_steps"]) for p in proposals(study)}) == 4


def test_the_goal_decides_where_the_frontier_sampler_looks() -> None:
    """A context that is clearly worse gets fewer trials when only the best configuration is sought."""
    poor = SPACE["precision"].choices[0]

    def trials_in_it(goal: Goal) -> int:
        study = optuna.create_study(direction="maximize")
        for number in range(40):
            study.sampler = make_sampler(
                "frontier", sampler_seed("frontier", 7, number), max_failure_probability=0.1,
                search_space=SPACE, goal=goal,
            )  # fmt: skip
            trial = study.ask(SPACE)
            is_poor = trial.params["precision"] == poor
            study.tell(trial, boundary_at(1e-5 if is_poor else 1e-3)(trial.params))
        return sum(trial.params["precision"] == poor for trial in study.trials)

    assert trials_in_it("recommend") < trials_in_it("map")


def test_the_grid_is_gone_through_evenly_round_after_round() -> None:
    """Three rates by four contexts: each once after 12 trials, each twice after 24."""
    points = [tuple(params.values()) for params in proposals(sweep("grid", 7, 24))]
    assert set(Counter(points[:12]).values()) == {1}
    assert set(Counter(points).values()) == {2}
    assert sorted({point[0] for point in points}) == pytest.approx([1e-6, 1e-4, 1e-2])


def test_the_grid_loses_no_point_to_trials_that_are_not_its_own() -> None:
    """Enqueued trials, as canary and confirmation are, use up no grid point."""
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"learning_rate": 3e-5, "precision": "fp32", "warmup_steps": 0})
    points = [
        tuple(params.values()) for params in proposals(sweep("grid", 7, 13, sweep("grid", 7, 2, study)))
    ]
    assert len(set(points[1:])) == 12


def test_an_unknown_sampler_is_refused_with_those_known() -> None:
    """The sweep's own check comes first; this one is for callers of the function."""
    with pytest.raises(UserError, match="unknown sampler 'bayes'") as caught:
        make_sampler("bayes", 0, max_failure_probability=0.1, search_space=SPACE)
    assert "frontier, gp, grid" in caught.value.hint
