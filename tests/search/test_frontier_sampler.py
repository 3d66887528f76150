"""The frontier sampler in a study, without the rest of the product."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from sampler_samples import SPACE, boundary_at, proposals, run

from stabsearch.frontier.hints import PriorHint
from stabsearch.search import FrontierSampler

optuna.logging.set_verbosity(optuna.logging.ERROR)


def log_rates(study: optuna.Study) -> list[float]:
    """Return log10 of the learning rates proposed."""
    return [math.log10(trial.params["learning_rate"]) for trial in study.trials]


RATE = {"learning_rate": SPACE["learning_rate"]}
"""A space of one context: what is told about it decides where the next trial goes."""


def ask_after(facts: Sequence[FrozenTrial], sampler: FrontierSampler | None = None) -> float:
    """Return the log10 learning rate proposed in a study that holds these trials."""
    sampler = sampler or FrontierSampler(seed=0, search_space=RATE)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(facts)
    return math.log10(study.ask(RATE).params["learning_rate"])


def fact(rate: float, value: float | None, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    """Return a finished trial."""
    return create_trial(state=state, value=value, params={"learning_rate": rate}, distributions=RATE)


def crash(rate: float) -> FrozenTrial:
    """Return a trial that ended in an error."""
    return fact(rate, None, TrialState.FAIL)


def test_it_closes_in_on_the_boundary_in_every_context() -> None:
    """After 40 trials, most lie within half a decade of the boundary, in all four contexts."""
    study = run(FrontierSampler(seed=0), boundary_at(1e-4), 40)
    late = [trial for trial in study.trials if trial.number >= 16]
    near = [trial for trial in late if abs(math.log10(trial.params["learning_rate"]) + 4) < 0.6]
    assert len(near) > 0.6 * len(late)
    assert len({(t.params["precision"], t.params["warmup_steps"]) for t in near}) == 4


def test_contexts_with_different_boundaries_get_their_own() -> None:
    """One precision breaks two decades earlier."""
    boundary = {"fp32": 1e-3, "bf16": 1e-5}
    study = run(FrontierSampler(seed=0), lambda p: float(p["learning_rate"] <= boundary[p["precision"]]), 60)
    for precision, rate in boundary.items():
        rates = [t.params["learning_rate"] for t in study.trials[30:] if t.params["precision"] == precision]
        assert abs(np.median(np.log10(rates)) - math.log10(rate)) < 0.5


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_sided_studies_drift_to_the_end_of_the_range(value: float) -> None:
    """Everything fails: go down; everything survives: go up."""
    rates = log_rates(run(FrontierSampler(seed=0), lambda _: value, 40))
    assert (np.median(rates[20:]) > -3) == bool(value)
    assert min(rates) >= -6
    assert max(rates) <= -2


def test_the_same_seed_gives_the_same_proposals_in_another_process() -> None:
    """Seed and trials decide, not the process: also not its hash seed."""
    program = (
        "from sampler_samples import *; from stabsearch.search import FrontierSampler;"
        "print(proposals(run(FrontierSampler(seed=3), boundary_at(1e-4), 12)))"
    )
    here = str(proposals(run(FrontierSampler(seed=3), boundary_at(1e-4), 12)))
    path = [entry for entry in sys.path if entry]
    there = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {program}"],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "PYTHONHASHSEED": "1",
            "OMP_NUM_THREADS": "1",
        },  # the machine's own stays: BLAS kernels
    )
    assert there.stdout.strip() == here


def test_another_seed_or_another_trial_gives_another_proposal() -> None:
    """Jitter: nothing is learned from trying the very same rate again."""
    asked = [
        ask_after([crash(1e-3)] * n, FrontierSampler(seed=seed, search_space=RATE))
        for seed in (0, 1)
        for n in range(4)
    ]
    assert len(set(asked)) == 8
    assert max(asked) - min(asked) < 0.2


def test_a_sampler_made_anew_or_unpickled_goes_on_as_if_it_had_never_been_away() -> None:
    """No state lives in the sampler."""
    study = run(FrontierSampler(seed=5), boundary_at(1e-4), 12)
    for replacement in (FrontierSampler(seed=5), pickle.loads(pickle.dumps(study.sampler))):
        again = optuna.create_study(direction="maximize", sampler=replacement)
        again.add_trials(study.trials[:11])
        assert again.ask(SPACE).params == study.trials[11].params


def test_failures_push_the_next_trial_down_and_survivors_up() -> None:
    """Compared with where it goes in a study that knows nothing."""
    unknown = ask_after([crash(1e-4)] * 4)
    assert ask_after([fact(1e-4, 0.0)] * 4) < unknown - 0.3
    assert ask_after([fact(1e-4, 1.0)] * 4) > unknown + 0.3


def test_pruned_counts_as_failed() -> None:
    """Whoever stops a trial early because it breaks need not return a value."""
    assert ask_after([fact(1e-4, None, TrialState.PRUNED)] * 4) == ask_after([fact(1e-4, 0.0)] * 4)


@pytest.mark.filterwarnings("error")
def test_an_error_of_the_objective_proves_nothing() -> None:
    """Wherever it happened, and not even three hundred of them."""
    facts = [fact(1e-4, 0.0)] * 2
    assert ask_after([*facts, *[crash(1e-2)] * 300]) == ask_after([*facts, *[crash(1e-6)] * 300])
    assert ask_after([crash(1e-6)] * 4) == ask_after([crash(1e-2)] * 4)


def test_degraded_survivors_stand_just_below_the_frontier() -> None:
    """Below what clean ones allow, above what failures do."""
    degraded, clean, failed = (ask_after([fact(1e-4, value)] * 4) for value in (0.5, 1.0, 0.0))
    assert failed < degraded < clean


def test_running_trials_that_report_are_evidence_so_far() -> None:
    """The share of the horizon survived, reported as the study's intermediate value, moves proposals up."""

    def asked(reports: dict[int, float]) -> float:
        running = create_trial(
            state=TrialState.RUNNING, params={"learning_rate": 1e-4}, distributions=RATE,
            intermediate_values=reports,
        )  # fmt: skip
        return ask_after([running] * 3 + [crash(1e-4)])

    assert asked({10: 0.1, 90: 0.9}) > asked({})
    assert asked({10: 7.0}) == asked({})


def test_a_value_without_meaning_is_left_out_with_a_warning() -> None:
    """An accuracy is not a survival."""
    with pytest.warns(UserWarning, match=r"trial 0 returned 0\.93, which says nothing about stability"):
        proposal = ask_after([fact(1e-4, 0.93)])
    assert proposal == ask_after([crash(1e-4)])


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, None])
def test_evidence_replaces_what_the_study_was_told(value: float | None) -> None:
    """Survivors that turn out to have collapsed count as failures, None as nothing."""
    sampler = FrontierSampler(seed=0, search_space=RATE, evidence=lambda trials: [value] * len(trials))
    expected = [crash(1e-4) if value is None else fact(1e-4, value)] * 4
    assert ask_after([fact(1e-4, 0.0), fact(1e-4, 1.0)] * 2, sampler) == ask_after(expected)


def test_evidence_without_meaning_is_an_error() -> None:
    """It comes from code, not from a user's objective."""
    with pytest.raises(ValueError, match=r"evidence gave 0\.7; allowed: 1\.0, 0\.5, 0\.0 or None"):
        ask_after([fact(1e-4, 1.0)], FrontierSampler(seed=0, evidence=lambda trials: [0.7]))


def test_concurrent_proposals_differ() -> None:
    """Four trials asked before any is told are four different questions."""
    study = optuna.create_study(
        direction="maximize", sampler=FrontierSampler(seed=0, search_space=SPACE, probe_every=0)
    )
    asked = [study.ask(SPACE).params for _ in range(4)]
    places = {(p["precision"], p["warmup_steps"], round(math.log10(p["learning_rate"]), 1)) for p in asked}
    assert len(places) == 4


def test_every_sixth_trial_probes_the_safe_side() -> None:
    """Where survival is expected: with probes, more trials lie well below the boundary."""

    def below(probe_every: int) -> int:
        study = run(FrontierSampler(seed=0, probe_every=probe_every), boundary_at(1e-4), 60)
        return sum(x < -4.15 for x in log_rates(study)[24:])

    assert below(6) >= below(0) + 3


def test_a_study_that_asks_in_its_objective_is_searched_too() -> None:
    """The space is taken from the trials: the second trial on is no longer random."""
    study = optuna.create_study(direction="maximize", sampler=FrontierSampler(seed=0))

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("learning_rate", 1e-6, 1e-2, log=True)
        return float(rate < 1e-4 and trial.suggest_categorical("precision", ["fp32", "bf16"]) != "")

    study.optimize(objective, n_trials=30)
    assert abs(np.median(log_rates(study)[15:]) + 4) < 0.5


def test_another_intensity_on_a_linear_axis() -> None:
    """Any ordered parameter that breaks training when it is too large."""
    space = {"momentum": FloatDistribution(0.0, 1.0), "layers": IntDistribution(1, 3)}
    sampler = FrontierSampler("momentum", seed=0)
    study = run(sampler, lambda params: float(params["momentum"] < 0.7), 40, space)
    assert abs(np.median([trial.params["momentum"] for trial in study.trials[20:]]) - 0.7) < 0.1


def test_an_integer_intensity() -> None:
    """Proposed values are whole numbers."""
    space = {"batch": IntDistribution(1, 1024, log=True)}
    study = run(FrontierSampler("batch", seed=0), lambda params: float(params["batch"] < 100), 30, space)
    assert all(isinstance(trial.params["batch"], int) for trial in study.trials)
    assert 30 < np.median([trial.params["batch"] for trial in study.trials[15:]]) < 300


def test_trials_of_another_space_are_no_evidence() -> None:
    """Missing parameters, unknown choices, values that the axis does not reach."""
    other = {**SPACE, "precision": CategoricalDistribution(["fp8"])}
    linear = {"learning_rate": FloatDistribution(-1.0, 1.0)}
    foreign = [
        create_trial(value=0.0, params={"batch": 3}, distributions={"batch": IntDistribution(1, 4)}),
        create_trial(value=0.0, params={"learning_rate": -0.5}, distributions=linear),
    ]
    assert ask_after(foreign) == ask_after([crash(1e-4)] * 2)
    unknown = {"learning_rate": 1e-4, "precision": "fp8", "warmup_steps": 0}
    study = run(FrontierSampler(seed=0, search_space=SPACE), boundary_at(1e-4), 0)
    study.add_trials([create_trial(value=0.0, params=unknown, distributions=other)] * 4)
    assert study.ask(SPACE).params["precision"] in {"fp32", "bf16"}


def test_trials_of_a_wider_range_still_count() -> None:
    """A context that failed far below today's range is left alone."""
    wide = {**SPACE, "learning_rate": FloatDistribution(1e-8, 1.0, log=True)}
    params = {"learning_rate": 1e-7, "precision": "fp32", "warmup_steps": 0}
    failures = [create_trial(value=0.0, params=params, distributions=wide)] * 4
    study = optuna.create_study(direction="maximize", sampler=FrontierSampler(seed=0, search_space=SPACE))
    study.add_trials(failures)
    asked = [study.ask(SPACE).params for _ in range(8)]
    assert all((p["precision"], p["warmup_steps"]) != ("fp32", 0) for p in asked)


def test_a_running_trial_far_outside_todays_range_is_harmless() -> None:
    """Left behind by a study whose range was wider."""
    for rate in (1e-12, 1e-8, 0.9):
        wide = {"learning_rate": FloatDistribution(1e-12, 1.0, log=True)}
        zombie = create_trial(
            state=TrialState.RUNNING, params={"learning_rate": rate}, distributions=wide,
            intermediate_values={1: 0.5},
        )  # fmt: skip
        assert -6 <= ask_after([zombie, fact(1e-4, 0.0)]) <= -2


def test_choices_that_are_no_plain_numbers() -> None:
    """Tuples, negative numbers under a known name, None."""
    space = {
        "learning_rate": SPACE["learning_rate"],
        "betas": CategoricalDistribution(["0.9,0.999", None, True]),
        "warmup_steps": CategoricalDistribution([-1, 100]),
    }
    study = run(FrontierSampler(seed=0, search_space=space), boundary_at(1e-4), 12, space)
    assert len({trial.params["warmup_steps"] for trial in study.trials}) == 2


def test_hints_about_other_parameters_are_refused() -> None:
    """Rather than ignored."""
    hint = PriorHint("fp32", mean=-3.0, sd=0.3)
    with pytest.raises(ValueError, match="hints are about precision, warmup_steps, max_grad_norm"):
        ask_after([], FrontierSampler(seed=0, search_space=RATE, hints=[hint]))


def test_very_many_contexts_are_searched_in_a_sample() -> None:
    """Ten parameters of four choices are a million contexts; proposals are valid all the same."""
    space = {
        "learning_rate": SPACE["learning_rate"],
        **{f"p{i}": CategoricalDistribution(["a", "b", "c", "d"]) for i in range(10)},
    }
    study = run(FrontierSampler(seed=0, search_space=space), boundary_at(1e-4), 3, space)
    assert all(set(params) == set(space) for params in proposals(study))


def test_a_range_of_zero_width_is_proposed_as_it_is() -> None:
    """One rate only: the contexts are still chosen."""
    space = {**SPACE, "learning_rate": FloatDistribution(1e-4, 1e-4, log=True)}
    study = run(FrontierSampler(seed=0), boundary_at(1.0), 8, space)
    assert {params["learning_rate"] for params in proposals(study)} == {1e-4}


@pytest.mark.parametrize("arguments", [{"max_failure_probability": 0.0}, {"probe_every": -1}])
def test_impossible_arguments_are_refused_at_once(arguments: dict[str, float]) -> None:
    """Not at the first proposal."""
    with pytest.raises(ValueError, match=next(iter(arguments))):
        FrontierSampler(**arguments)
