"""Real trials, recorded once: the table is whole, and a replay says what the table says."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.frontier_benchmark import record_grid, recorded, recorded_problems, recorded_summary
from stabsearch.records import Context, Grade, Outcome, Stage, TrialPlan, TrialRecord

RATES = (1e-4, 1e-3, 1e-2, 1e-1)
SEEDS = range(5)
AXES = {
    "model": tuple(recorded_problems.MODELS),
    "data": tuple(recorded_problems.DATA),
    "precision": recorded_problems.PRECISIONS,
    "warmup_steps": recorded_problems.WARMUPS,
    "max_grad_norm": recorded_problems.CLIPS,
    "learning_rate": tuple(float(f"{10**x:.6g}") for x in recorded_problems.LOG_RATES),
    "seed": recorded_problems.SEEDS,
}
"""What the grid is the full product of."""


def made_up(failures: dict[float, int], contexts: tuple[Context, ...] = (Context("fp32", 0, 0.0),)):
    """Return the table of a world in which the first so many seeds fail at each learning rate."""
    rows = [
        {
            "precision": context.precision, "warmup_steps": context.warmup_steps,
            "max_grad_norm": context.max_grad_norm, "learning_rate": rate, "seed": seed,
            "outcome": "diverged" if seed < failed else "stable",
            "grade": "" if seed < failed else "degraded" if seed == 4 else "clean",
            "steps": 10 + seed if seed < failed else 48,
        }
        for context in contexts for rate, failed in failures.items() for seed in SEEDS
    ]  # fmt: skip
    return pd.DataFrame(rows)


def world(*failures: int) -> recorded.RecordedWorld:
    return recorded.as_world("made up", made_up(dict(zip(RATES, failures, strict=True))))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return recorded.read_table()


def test_every_combination_was_recorded_once(table: pd.DataFrame) -> None:
    """A hole in the grid would be an outcome that nobody saw."""
    found = list(table[list(AXES)].itertuples(index=False, name=None))
    assert len(found) == len(set(found))
    assert set(found) == set(itertools.product(*AXES.values()))


def test_every_recorded_trial_proves_something(table: pd.DataFrame) -> None:
    """Crashes and lost workers say nothing about stability, and are not in the table."""
    assert all(Outcome(outcome).is_evidence for outcome in table["outcome"].unique())


def test_only_survivors_have_a_grade_and_they_ran_to_the_horizon(table: pd.DataFrame) -> None:
    """Only failures name a first bad step."""
    survived = table["outcome"] == Outcome.STABLE
    assert set(table.loc[survived, "grade"]) <= set(Grade)
    assert set(table.loc[~survived, "grade"]) == {""}
    assert set(table.loc[survived, "steps"]) == {recorded_problems.HORIZON}
    assert table["steps"].max() == recorded_problems.HORIZON
    assert (table["first_bad_step"].isna() == survived).all()


def test_each_world_has_the_twelve_contexts_in_the_order_of_the_simulated_ones() -> None:
    """Everywhere else a context is its position in this order."""
    product = itertools.product(*(AXES[name] for name in ("precision", "warmup_steps", "max_grad_norm")))
    expected = tuple(itertools.starmap(Context, product))
    assert [found.contexts for found in recorded.worlds()] == [expected] * 4


def test_boundaries_lie_inside_the_recorded_range() -> None:
    """Nobody fails at the lowest rate, everybody at the highest, and half do well between them."""
    for found in recorded.worlds():
        assert (found.share_CL[:, 0] == 0).all()
        assert (found.share_CL[:, -1] == 1).all()
        half = [recorded_summary.crossing(found.x_L, share_L, 0.5) for share_L in found.share_CL]
        assert found.low + 0.4 < min(half)
        assert max(half) < found.high - 0.4


def test_the_failure_probability_is_the_failed_share_and_linear_between() -> None:
    """Beyond the ends it stays what it is there."""
    p_X = world(0, 1, 3, 5).failure_probability(0, np.array([-9.0, -4.0, -3.0, -2.5, -2.0, -1.0, 3.0]))
    assert p_X == pytest.approx([0.0, 0.0, 0.2, 0.4, 0.6, 1.0, 1.0])


@pytest.mark.parametrize("x", [-3.0, -2.75, -1.5, 0.0])
def test_a_replay_fails_as_often_as_the_table_says(x: float) -> None:
    """5,000 draws lie within four standard errors of the interpolated share."""
    replayed, rng = world(0, 1, 3, 5), np.random.default_rng(0)
    expected = float(replayed.failure_probability(0, np.array(x)))
    share = np.mean([replayed.sample(0, x, rng).failed for _ in range(5000)])
    assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 5000))


def test_a_replayed_trial_is_a_recorded_one() -> None:
    """Outcome, grade and steps belong together: they come from one trial."""
    replayed, rng = world(0, 1, 3, 5), np.random.default_rng(0)
    drawn = {tuple(replayed.sample(0, -2.0, rng)) for _ in range(500)}
    assert drawn == {
        (True, False, 10),
        (True, False, 11),
        (True, False, 12),
        (False, False, 48),
        (False, True, 48),
    }


def test_the_same_random_numbers_replay_the_same_trials() -> None:
    """Methods are compared on the same luck."""
    replayed = recorded.worlds()[0]
    runs = [[replayed.sample(3, -1.9, rng) for _ in range(20)] for rng in map(np.random.default_rng, (5, 5))]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("failures", "truth"),
    [
        pytest.param((0, 0, 1, 5), -2.5, id="where the line crosses the risk"),
        pytest.param((0, 1, 0, 5), -3.5, id="a failure below hides all that is above"),
        pytest.param((5, 5, 5, 5), -4.0, id="nothing is stable"),
        pytest.param((0, 0, 0, 0), -1.0, id="everything is stable"),
    ],
)
def test_the_truth_is_the_largest_rate_below_which_all_is_within_the_risk(
    failures: tuple[int, ...], truth: float
) -> None:
    """The same rule as in the simulated worlds, held to the recorded range."""
    assert world(*failures).truth_C == pytest.approx([truth], abs=0.003)


def test_the_order_of_the_rows_does_not_matter() -> None:
    """The table may be sorted in any way."""
    contexts = (Context("bf16", 0, 1.0), Context("fp32", 16, 0.0))
    rows = made_up({1e-3: 0, 1e-2: 2, 1e-1: 5}, contexts)
    found = [recorded.as_world("made up", some) for some in (rows, rows.sample(frac=1, random_state=1))]
    assert found[0].contexts == found[1].contexts == contexts[::-1]
    assert (found[0].failed_CLS == found[1].failed_CLS).all()
    assert (found[0].steps_CLS == found[1].steps_CLS).all()


def test_a_table_with_a_hole_is_refused() -> None:
    """Otherwise every later trial would stand in the wrong cell."""
    with pytest.raises(ValueError, match=r"made up: 19 trials do not fill a grid of \(1, 4, 5\)"):
        recorded.as_world("made up", made_up(dict.fromkeys(RATES, 0)).iloc[1:])


def test_plans_cover_the_grid_once_and_differ_in_number() -> None:
    """A resumed recording tells trials apart by their number."""
    plans = recorded_problems.plans()
    cells = {(plan.context, plan.learning_rate, plan.model_seed) for plan in plans}
    assert [plan.number for plan in plans] == list(range(len(cells)))
    assert len(cells) == 3 * 2 * 2 * 14 * 5


def test_a_trial_that_was_being_written_when_recording_stopped_is_run_again(tmp_path: Path) -> None:
    """Its line has no end yet."""
    path, record = tmp_path / "trials.jsonl", TrialRecord(recorded_problems.plans()[0], Outcome.STABLE)
    record_grid.append(path, [record])
    path.write_text(path.read_text() + json.dumps(record.to_json())[:40])
    assert [found.plan for found in record_grid.read(path)] == [record.plan]


def test_the_same_trials_give_the_same_file(tmp_path: Path) -> None:
    """The table does not change when it is written again."""
    plan = TrialPlan(0, Stage.SEARCH, 1e-3, 0, 0.0, "fp32", 0, 0, 48)
    rows = record_grid.table(
        "bert", "snips", [TrialRecord(plan, Outcome.DIVERGED, first_bad_step=3, steps=9)]
    )
    for name in "ab":
        record_grid.write(rows, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert rows.iloc[0][["outcome", "grade", "steps", "first_bad_step"]].tolist() == ["diverged", "", 9, 3]


def test_the_summary_measures_widths_and_falls() -> None:
    """A fall is counted from the worst share at a smaller rate; a width between interpolated shares."""
    found = world(0, 1, 0, 5)
    assert recorded_summary.largest_drop(found.share_CL) == pytest.approx([0.2])
    assert recorded_summary.widths(world(0, 0, 0, 5)) == pytest.approx([0.6], abs=0.003)


def test_the_summary_measures_how_far_below_failure_trials_degrade() -> None:
    """Half fail at -2.5; one seed degrades wherever it survives, so half are worse than clean at -3.25."""
    assert recorded_summary.leads(world(0, 2, 3, 5)) == pytest.approx([0.75], abs=0.003)
