"""Further axes in the study: what is proposed, fixed, kept, and what the first trial has of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from campaign_samples import HORIZON, study_of, sweep_of
from optuna.distributions import CategoricalDistribution
from optuna.storages import InMemoryStorage

from stabsearch.config import Sweep
from stabsearch.config.resolve import resolve
from stabsearch.frontier.confirming import Confirming
from stabsearch.frontier.hints import PriorHint
from stabsearch.records import Context, Outcome, Stage, TrialPlan
from stabsearch.records.hyperparameters import FURTHER
from stabsearch.search import FrontierSampler
from stabsearch.search.axis import Levels
from stabsearch.search.campaign import Campaign, Stages
from stabsearch.search.canary import baseline, canary_plan
from stabsearch.search.samplers import SAMPLER_NAMES
from stabsearch.search.study import search_space
from stabsearch.testing.records import record_of

ALL = {row.key: list(row.examples) for row in FURTHER}
TWO: dict[str, Any] = {"adam_beta2": [0.9, 0.999], "per_device_train_batch_size": [8, 32]}


def contexts_of(sweep: Sweep) -> tuple[Context, ...]:
    return resolve(sweep, 1000).contexts


def test_every_axis_is_a_parameter_of_the_study() -> None:
    """Under its name, by its values."""
    space = search_space(sweep_of(search=ALL).search, [0])
    for row in FURTHER:
        assert space[row.name] == CategoricalDistribution(list(row.examples))
    assert set(search_space(sweep_of().search, [0])) == {"learning_rate", *Context._fields[:3]}


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_every_sampler_goes_through_their_values(sampler: str) -> None:
    """And each plan is a context of the sweep."""
    sweep = sweep_of(sampler=sampler, search=TWO)
    study, contexts = study_of(sweep), contexts_of(sweep)
    plans = []
    for _ in range(24):
        plan = study.ask()
        study.tell(record_of(plan))
        plans.append(plan)
    assert {plan.context for plan in plans} <= set(contexts)
    assert {plan.adam_beta2 for plan in plans} == {0.9, 0.999}
    assert {plan.per_device_train_batch_size for plan in plans} == {8, 32}


def test_a_study_keeps_them() -> None:
    """Opened anew it knows the plans that are not finished, and those that are."""
    storage, sweep = InMemoryStorage(), sweep_of(search=ALL)
    study = study_of(sweep, storage)
    finished, open_plan = study.ask(), study.ask()
    study.tell(record_of(finished))
    again = study_of(sweep, storage)
    assert again.unfinished() == [open_plan]
    assert again.raw_records[0].plan == finished


def test_a_configuration_inside_the_space_is_seen_by_the_sampler() -> None:
    """One outside of it is kept all the same, with exactly its values."""
    storage, sweep = InMemoryStorage(), sweep_of(search=TWO)
    study = study_of(sweep, storage)
    inside = contexts_of(sweep)[0]
    others = [inside._replace(adam_beta2=0.5), inside._replace(per_device_train_batch_size=None)]
    for context in (inside, *others):
        plan = study.ask_fixed(context, 1e-3, Stage.CONFIRM)
        assert plan.context == context
        study.tell(record_of(plan))
    seen = [bool(trial.params) for trial in study._study.get_trials()]
    assert seen == [True, False, False]


def test_the_canary_is_as_gentle_as_the_search_allows() -> None:
    """The least decay, the usual optimizer, the largest batch."""
    sweep = sweep_of(search={**ALL, "adam_beta2": [0.9, 0.95]})
    context, _ = baseline(sweep, contexts_of(sweep))
    assert context == Context("fp32", 0, 1.0, 0.0, 0.9, 0.95, 1e-8, 32, 4)
    plan = canary_plan(sweep, contexts_of(sweep), HORIZON)
    assert plan.context == context
    assert dataclasses.replace(plan, number=1).run_name.endswith("_batch32_accum4_s1")


def campaign_of(sweep: Sweep, started: list[TrialPlan]) -> Campaign:
    study = study_of(sweep)
    stages = Stages(sweep.budget.trials, Confirming(2))
    return Campaign(
        study, sweep, contexts_of(sweep), stages, on_started=started.append, on_finished=lambda _: None
    )


@pytest.mark.parametrize("sampler", ["frontier", "random"])
def test_a_campaign_ends_with_a_candidate_that_names_its_values(sampler: str) -> None:
    """Canary, search, fresh seeds on the recommended configuration: all of it inside the space."""
    sweep = sweep_of(trials=30, sampler=sampler, search={**TWO, "precision": ["fp32"]})
    started: list[TrialPlan] = []
    campaign = campaign_of(sweep, started)
    while plan := campaign.next_plan():
        is_broken = plan.learning_rate > (3e-3 if plan.adam_beta2 == 0.999 else 3e-2)
        campaign.finished(record_of(plan, Outcome.NONFINITE if is_broken else Outcome.STABLE))
    best = campaign.frontier().recommend()
    assert best is not None
    assert best.context.adam_beta2 == 0.9
    confirming = [plan for plan in started if plan.stage is Stage.CONFIRM]
    assert {plan.context for plan in confirming} <= set(contexts_of(sweep))
    assert confirming[-1].context.per_device_train_batch_size in {8, 32}


def test_ramps_have_the_first_value_of_each() -> None:
    """As of the clip norm; one ramp per precision, not per context."""
    sweep = sweep_of(trials=12, search={**TWO, "prior": {"ramp": True}})
    started: list[TrialPlan] = []
    campaign = campaign_of(sweep, started)
    for _ in range(3):
        plan = campaign.next_plan()
        assert plan is not None
        campaign.finished(record_of(plan))
    ramps = [plan for plan in started if plan.stage is Stage.RAMP]
    assert {(plan.precision, plan.adam_beta2, plan.per_device_train_batch_size) for plan in ramps} == {
        ("fp32", 0.9, 8), ("bf16", 0.9, 8),
    }  # fmt: skip


def test_a_campaign_without_memory_says_which_batch_to_lower() -> None:
    """The searched one, where one is."""
    for search, place in (({}, "training"), (TWO, "search")):
        sweep = sweep_of(search=search)
        campaign = campaign_of(sweep, [])
        plan = campaign.next_plan()
        assert plan is not None
        campaign.finished(record_of(plan, Outcome.OOM))
        assert campaign.problem is not None
        assert campaign.problem.hint.startswith(f"lower {place}.per_device_train_batch_size")


def test_hints_of_sweeps_that_searched_less_help_one_that_searches_more() -> None:
    """They are about the same model; a study with parameters of its own has no use for them."""
    hint = PriorHint("fp32", -3.0, 0.3, Context("fp32", 0, 1.0))
    space = search_space(sweep_of(search=TWO).search, [0])
    study = study_of(sweep_of(search=TWO))._study
    for number in range(3):
        study.sampler = FrontierSampler(seed=number, search_space=space, hints=[hint])
        assert study.ask(fixed_distributions=space).params["adam_beta2"] in {0.9, 0.999}
    odd = {**space, "width": CategoricalDistribution([1, 2])}
    study.sampler = FrontierSampler(seed=0, search_space=odd, hints=[hint])
    with pytest.raises(ValueError, match=r"hints are about precision, .* the study has other parameters"):
        study.ask(fixed_distributions=odd)


def test_a_bin_stands_for_its_middle() -> None:
    """So that what is known of a parameter's scale holds for numbers that are searched in bins."""
    from optuna.distributions import FloatDistribution

    levels = Levels(FloatDistribution(1e-8, 1e-4, log=True))
    assert levels.values == pytest.approx([10**-7.5, 10**-6.5, 10**-5.5, 10**-4.5])
    assert [levels.of(value) for value in levels.values] == [0, 1, 2, 3]
