"""recommend: other utilities, and what risk buys, on sweeps whose boundary is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import compare_samples
import pytest
from compare_samples import played

from stabsearch.frontier.answer import Verdict
from stabsearch.frontier.conclude import answered_with
from stabsearch.frontier.preference import Tried, Utility, pareto_front, tried
from stabsearch.records import Outcome, TrialPlan, TrialRecord
from stabsearch.report.pareto import pareto_json, pareto_text
from stabsearch.search.stored import read_study, sweep_in
from stabsearch.sweep import Prepared, SweepResult, configurations_of, recommend_from
from stabsearch.testing.records import breaks_above

Command = Callable[..., Any]
HIGHER = {"fp32": 0.1, "bf16": 0.01}
"""fp32 stands a decade more, and costs more."""
BEST = 1e-3
"""Where trials learn most."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def learning(boundary: Any) -> Callable[[TrialPlan], TrialRecord]:
        play = breaks_above(boundary)

        def learns(plan: TrialPlan) -> TrialRecord:
            record = play(plan)
            factor = 1 + 0.05 * abs(math.log10(plan.learning_rate / BEST))
            losses = tuple(factor * loss for loss in record.trace.losses)
            return replace(record, trace=replace(record.trace, losses=losses))

        return learns

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare_samples, "breaks_above", learning)
        home = tmp_path_factory.mktemp("sweeps")
        return played(home, "known", lambda context: HIGHER[context.precision])


def chosen(folder: Path, utility: Utility | None) -> tuple[str, float]:
    result = recommend_from(folder, utility=utility)
    best = result.answer.recommendation
    assert best is not None
    assert result.recommended is not None
    assert result.recommended["learning_rate"] == best.learning_rate
    assert best.probability_high >= best.failure_probability > 0
    return best.context.precision, best.learning_rate


def test_each_utility_chooses_by_its_own_measure(folder: Path) -> None:
    """All stay below the boundary; a cheaper precision or a lower loss is paid for in learning rate."""
    by_rate, by_cost = chosen(folder, Utility.LEARNING_RATE), chosen(folder, Utility.COST)
    assert by_rate[0] == "fp32"
    assert by_cost[0] == "bf16"
    assert by_cost[1] < by_rate[1] < HIGHER["fp32"]
    assert by_cost[1] < HIGHER["bf16"]
    assert chosen(folder, None) == by_rate
    safe = [each for each in configurations_of(recommend_from(folder)) if each.is_safe]
    best = min(
        (each.recommendation for each in safe), key=lambda one: abs(math.log10(one.learning_rate / BEST))
    )
    precision, rate = chosen(folder, Utility.LOSS)
    assert precision == best.context.precision
    assert 0.99 * best.learning_rate <= rate <= best.learning_rate


def test_what_was_chosen_otherwise_is_not_called_confirmed(folder: Path) -> None:
    """Fresh seeds ran on one configuration, or on none."""
    answer = recommend_from(folder, utility=Utility.COST).answer
    assert answer.verdict is Verdict.UNCONFIRMED
    assert "bf16" in answer.sentence
    plain = recommend_from(folder)
    assert answer.ended == plain.answer.ended
    frontier, terms = plain.findings.frontier, Prepared.from_json(sweep_in(read_study(folder))).terms
    same = plain.answer.recommendation
    assert same is not None
    confirmed = replace(plain.answer, verdict=Verdict.CONFIRMED)
    assert answered_with(same, confirmed, plain.findings.records, frontier, terms) is confirmed


def test_only_survivors_below_the_limit_are_safe(folder: Path) -> None:
    """A loss is a mean over the last quarter; failures have none."""
    result = recommend_from(folder)
    found = configurations_of(result)
    rows, frontier = result.findings.rows, result.findings.frontier
    limits = dict(zip((row.context for row in rows), frontier.limits, strict=True))
    is_stable, is_searched = result.trials["outcome"] == "stable", result.trials["learning_rate"] >= 1e-4
    stable = result.trials[is_stable & is_searched]
    assert sum(each.num_trials for each in found) == len(stable)
    for each in found:
        limit = limits[each.recommendation.context]
        assert isinstance(limit, float)
        assert each.is_safe == (each.recommendation.learning_rate <= 10**limit)
    ended = [replace(record, outcome=Outcome.DIVERGED) for record in result.findings.records]
    assert tried(ended, frontier, result.sweep.outcomes) == []
    one = next(each for each in found if each.num_trials == 1)
    record = next(
        r for r in result.findings.records if r.plan.learning_rate == one.recommendation.learning_rate
    )
    last = record.trace.losses[-(len(record.trace.losses) // 4) :]
    assert one.loss == pytest.approx(sum(last) / len(last))


def test_nothing_beats_what_is_on_the_front(folder: Path) -> None:
    """From the least risk to the least loss; equals stand there once."""
    found = configurations_of(recommend_from(folder))
    front = pareto_front(found)

    def risk(each: Tried) -> float:
        return each.recommendation.failure_probability

    assert [risk(each) for each in front] == sorted(risk(each) for each in front)
    assert [each.loss for each in front] == sorted((each.loss for each in front), reverse=True)
    for each in found:
        assert any(risk(one) <= risk(each) and one.loss <= each.loss for one in front)
    assert len(pareto_front([front[0], replace(front[0], num_trials=9)])) == 1
    assert min(found, key=lambda each: each.loss) == front[-1]


def test_the_command_prints_what_was_chosen(stabsearch: Command, folder: Path) -> None:
    said = stabsearch("recommend", folder, "--utility", "cost")
    assert said.code == 0
    assert json.loads(said.out)["bf16"] is True
    assert said.err.startswith("Unconfirmed: learning rate ")
    flags = stabsearch("recommend", folder, "--utility", "learning_rate", "--format", "flags").out
    assert flags.startswith("--output_dir ")
    assert "--bf16 False" in flags
    assert stabsearch("recommend", folder, "--utility", "speed").code == 2


def test_the_front_as_a_table_and_as_data(stabsearch: Command, folder: Path) -> None:
    table = stabsearch("recommend", folder, "--pareto")
    assert (table.code, table.err) == (0, "")
    head, names, *rows = table.out.splitlines()
    assert "that no other one beats in both risk and training loss, within 30 steps" in head
    assert names.split() == [
        "failure",
        "probability",
        "interval",
        "loss",
        "learning",
        "rate",
        "context",
        "trials",
    ]
    data = json.loads(stabsearch("recommend", folder, "--pareto", "--format", "json").out)
    assert (data["max_failure_probability"], data["horizon"]) == (0.1, 30)
    assert len(data["front"]) == len(rows)
    assert [row.startswith("✓") for row in rows] == [each["is_safe"] for each in data["front"]]
    assert {"precision", "warmup_steps", "max_grad_norm", "learning_rate", "loss"} <= data["front"][0].keys()
    only = json.loads(
        stabsearch("recommend", folder, "--pareto", "--precision", "bf16", "--format", "json").out
    )
    assert {each["precision"] for each in only["front"]} == {"bf16"}
    refused = stabsearch("recommend", folder, "--pareto", "--format", "yaml")
    assert (refused.code, refused.out, len(refused.error_lines)) == (2, "", 2)


@pytest.mark.parametrize("boundary", [1e-9])
def test_without_a_survivor_nothing_is_chosen(stabsearch: Command, tmp_path: Path, boundary: float) -> None:
    """Exit code 2, in a sentence; the answer of the sweep stays what it was."""
    broken = played(tmp_path, "broken", boundary)
    said = stabsearch("recommend", broken, "--pareto")
    assert (said.code, said.out, said.err) == (2, "", "no trial has survived yet\n")
    plain: SweepResult = recommend_from(broken)
    for utility in Utility:
        assert recommend_from(broken, utility=utility).answer == plain.answer


def test_losses_on_held_out_rows_count_where_there_are_any(folder: Path) -> None:
    """They are no losses of training rows: trials without are left out, and it is said which they are."""
    result = recommend_from(folder)
    records, frontier = list(result.findings.records), result.findings.frontier
    evaluated = [
        replace(record, eval_loss=abs(math.log10(record.plan.learning_rate / BEST)))
        for record in records
        if record.outcome is Outcome.STABLE and record.plan.number % 2
    ]
    others = [record for record in records if record.plan.number % 2 == 0]
    found = tried([*evaluated, *others], frontier, result.sweep.outcomes)
    assert {each.recommendation.learning_rate for each in found} <= {r.plan.learning_rate for r in evaluated}
    for each in found:
        assert each.is_evaluated
        assert each.loss == pytest.approx(abs(math.log10(each.recommendation.learning_rate / BEST)))
    assert "risk and evaluation loss" in pareto_text(pareto_front(found), 0.1, 120)
    assert pareto_json(pareto_front(found), 0.1, 120)["front"][0]["loss_on"] == "held-out rows"
    trained = pareto_front(configurations_of(result))
    assert "risk and training loss" in pareto_text(trained, 0.1, 120)
    assert pareto_json(trained, 0.1, 120)["front"][0]["loss_on"] == "training rows"
