"""``stabsearch drift`` as a user types it, on sweeps whose boundary is known."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from compare_samples import SEARCH, played

from stabsearch.records import Outcome, StepTrace, TrialPlan, TrialRecord
from stabsearch.search.stored import read_study, records_in
from stabsearch.sweep import running
from stabsearch.testing.records import breaks_above, record_of
from stabsearch.testing.scripted import ScriptedDriver

Play = Callable[[TrialPlan], TrialRecord | None]


NARROW = {**SEARCH, "learning_rate": {"low": 1e-3, "high": 0.5}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep with its boundary at 0.03, closely known."""
    home = tmp_path_factory.mktemp("old")
    return played(home, "base", 0.03, search=NARROW, budget={"trials": 60, "horizon": 30})


@pytest.fixture
def old(tmp_path: Path, finished: Path) -> Path:
    """The same in a folder of this test's own."""
    return Path(shutil.copytree(finished, tmp_path / "runs" / "base"))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ScriptedDriver]:
    """Let the trials of the next drifts be played by a script."""

    def now(play: Play, **how: Any) -> ScriptedDriver:
        driver = ScriptedDriver(play, **how)
        monkeypatch.setattr(running, "trial_driver", lambda _, **__: driver)
        return driver

    return now


def untouched(folder: Path) -> dict[str, bytes]:
    """Return what the old sweep left."""
    files = (path for path in folder.rglob("*") if path.is_file() and "drift" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def found(folder: Path, number: int = 1) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "drift" / f"base-drift-{number}" / "drift.json").read_text())
    return data


def test_an_unchanged_world_holds(stabsearch: Any, old: Path, world: Any) -> None:
    """Exit code 0, fresh seeds, files of its own, and nothing of the old sweep touched."""
    before, driver = untouched(old), world(breaks_above(0.03))
    said = stabsearch("drift", old)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "The frontier of base still holds."
    assert re.match(r"At the safe learning rate \S+ \(.+\) 0 of \d+ failed, expected [\d.]+ %", lines[1])
    assert lines[-1].endswith(f" in {old / 'drift' / 'base-drift-1'}")
    assert "old frontier: it still holds" in said.err
    assert untouched(old) == before
    old_seeds = {record.plan.model_seed for record in records_in(read_study(old))}
    assert not {plan.model_seed for plan in driver.started} & old_seeds
    assert {path.name for path in (old / "drift" / "base-drift-1").iterdir()} >= {
        "drift.json", "drift.md", "trials.csv", "study.journal", "sweep.resolved.yaml",
    }  # fmt: skip


def test_a_smaller_safe_region_is_a_verdict_against(stabsearch: Any, old: Path, world: Any) -> None:
    """Exit code 1, by how much it moved, what changed, and the failures at the safe rate."""
    world(breaks_above(0.002))
    said = stabsearch("drift", old, "--json", "--quiet", "--set", "task.hidden_size=16")
    assert (said.code, said.err) == (1, "")
    data = json.loads(said.out)
    assert data == found(old)
    assert (data["standing"], data["exit_code"]) == ("shrank", 1)
    assert re.match(
        r"The frontier of base no longer holds: it moved down, by a factor of about [\d.]+( to|\.)",
        data["answer"][0],
    )
    assert data["moved"]["movement"] == "down"
    assert data["moved"]["words"] in data["answer"][0]
    assert data["moved"]["ratio_high"] < 1
    assert any(change.startswith("task.hidden_size: ") for change in data["changes"])
    assert any(place["is_recommended"] and place["failed"] for place in data["places"])
    assert "no longer holds" in (old / "drift" / "base-drift-1" / "drift.md").read_text()


def test_a_factor_just_above_twenty_says_no_two_things(stabsearch: Any, old: Path, world: Any) -> None:
    """Failures and a survivor: words and numbers have the direction of the verdict."""

    def play(plan: TrialPlan) -> TrialRecord | None:
        return breaks_above(1.0 if plan.number == 1 else 1e-9)(plan)

    world(play)
    said = stabsearch("drift", old, "--json", "-q")
    data = json.loads(said.out)
    assert (said.code, data["standing"], data["moved"]["movement"]) == (1, "shrank", "down")
    assert data["moved"]["ratio_high"] < 1
    assert data["bayes_factors"]["moved_down"] < 400
    assert "no difference" not in said.out


def test_another_risk_begins_another_drift(stabsearch: Any, old: Path, world: Any) -> None:
    """Read at another risk, the frontier and the recommended configuration are others."""
    driver = world(breaks_above(0.03))
    assert stabsearch("drift", old, "-q", "--trials", 1).code == 2
    assert stabsearch("drift", old, "-q", "--trials", 1, "--max-risk", 0.04).code == 2
    assert [plan.number for plan in driver.started] == [0, 0]
    assert driver.started[0].learning_rate > driver.started[1].learning_rate
    assert found(old, 2)["max_failure_probability"] == 0.04
    assert stabsearch("drift", old, "-q", "--trials", 2, "--max-risk", 0.04).code == 2
    assert [plan.number for plan in driver.started] == [0, 0, 1]


def test_moved_up_is_said(stabsearch: Any, old: Path, world: Any) -> None:
    """It is not against the old answer."""
    world(breaks_above(1.0))
    said = stabsearch("drift", old, "--json", "-q")
    assert said.code == 0
    assert json.loads(said.out)["standing"] in {"holds", "grew"}


def test_too_few_trials_leave_it_open_and_more_go_on(stabsearch: Any, old: Path, world: Any) -> None:
    """Exit code 2; the same command with a larger number runs the rest in the same study."""
    driver = world(breaks_above(0.03))
    said = stabsearch("drift", old, "--trials", 2)
    assert said.code == 2
    assert "is open after 2 trials" in said.out
    assert "--trials 4 goes on" in said.out
    assert stabsearch("drift", old, "--trials", 16).code == 0
    assert [plan.number for plan in driver.started] == list(range(len(driver.started)))
    assert found(old)["trials"] == len(driver.started)


def test_what_was_interrupted_goes_on(stabsearch: Any, old: Path, world: Any) -> None:
    """130, and the same command ends as an undisturbed one: same trials, same verdict."""
    world(breaks_above(0.03), interrupt_after=2)
    stopped = stabsearch("drift", old)
    assert (stopped.code, stopped.out) == (130, "")
    assert "has not ended" in stabsearch("status", old).out
    driver = world(breaks_above(0.03))
    assert stabsearch("drift", old, "--resume", "must").code == 0
    assert [plan.number for plan in driver.started][:1] == [2]
    assert stabsearch("drift", old, "--resume", "never").code == 0
    assert found(old, 2)["places"] == found(old)["places"]
    assert found(old, 2)["trials"] == found(old)["trials"]


def test_after_a_verdict_another_drift_begins_with_other_seeds(
    stabsearch: Any, old: Path, world: Any
) -> None:
    """And ``must`` finds nothing to go on with."""
    driver = world(breaks_above(0.03))
    stabsearch("drift", old)
    first = {plan.model_seed for plan in driver.started}
    refused = stabsearch("drift", old, "--resume", "must")
    assert (refused.code, len(refused.error_lines)) == (2, 2)
    stabsearch("drift", old)
    assert len({plan.model_seed for plan in driver.started}) == len(driver.started) > len(first)
    assert found(old, 2)["standing"] == "holds"
    assert "base-drift-2: The frontier of base still holds." in stabsearch("status", old).out
    assert [each["drift"] for each in json.loads(stabsearch("status", old, "--json").out)["drifts"]] == [
        "base-drift-1", "base-drift-2",
    ]  # fmt: skip


def test_another_version_begins_another_drift(
    stabsearch: Any, old: Path, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials of two versions never mix in one test."""
    world(breaks_above(0.03), interrupt_after=2)
    stabsearch("drift", old)
    from stabsearch.sweep import drift_places, drifting

    for module in (drift_places, drifting):
        monkeypatch.setattr(module, "installed_versions", lambda: {"torch": "9.0"})
    driver = world(breaks_above(0.03))
    assert stabsearch("drift", old).code == 0
    assert driver.started[0].number == 0
    assert "version of torch: 2.13.0 → 9.0" in found(old, 2)["changes"]


def test_trials_that_prove_nothing_are_not_counted(stabsearch: Any, old: Path, world: Any) -> None:
    """A lost worker or an out-of-memory is neither for nor against."""

    def play(plan: TrialPlan) -> TrialRecord | None:
        return record_of(plan, Outcome.OOM) if plan.number % 2 else breaks_above(0.03)(plan)

    world(play)
    assert stabsearch("drift", old, "--json", "-q", "--trials", 24).code == 0
    data = found(old)
    assert sum(place["trials"] for place in data["places"]) < data["trials"]


def test_faulty_data_are_a_verdict_of_their_own(stabsearch: Any, old: Path, world: Any) -> None:
    """1, as everywhere; mended, the next drift begins anew."""
    world(lambda plan: record_of(plan, Outcome.DATA_FAULT))
    said = stabsearch("drift", old, "-q")
    assert said.code == 1
    assert re.match(r"trial 0: the data are at fault", said.error_lines[0])
    world(breaks_above(0.03))
    assert stabsearch("drift", old, "-q").code == 0
    assert found(old, 2)["standing"] == "holds"


def test_nothing_learned_cannot_be_judged(stabsearch: Any, old: Path, world: Any) -> None:
    """Where the model changed and no trial learns, a survivor proves nothing."""

    def play(plan: TrialPlan) -> TrialRecord:
        record = record_of(plan)
        return replace(record, trace=StepTrace.thinned([1.4] * plan.horizon, [1.0] * plan.horizon))

    world(play)
    said = stabsearch("drift", old, "-q", "--set", "task.hidden_size=16", "--trials", 6)
    assert said.code == 2
    assert "cannot be judged: no trial learned anything" in said.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "search.precision=[fp32]"], "the search space changed: bf16"),
        (["--set", "search.warmup=[0, 5]"], "the search space changed: 4 contexts, and 2 before"),
        (["--set", "budget.schedule=exact"], "budget.schedule changed"),
        (["--set", "outcomes.rise_ratio=3.0"], "outcomes changed"),
        (["--trials", "0"], "--trials 0"),
        (["--max-risk", "0.7"], "--max-risk 0.7"),
        (["--resume", "must"], "nothing to resume"),
        (["--sweep", "none.yaml"], "none.yaml: no such file"),
    ],
)
def test_what_cannot_be_tested_is_said_in_two_lines(
    stabsearch: Any, old: Path, world: Any, options: list[str], words: str
) -> None:
    """2, and nothing was run."""
    driver = world(breaks_above(0.03))
    said = stabsearch("drift", old, *options)
    assert (said.code, said.out, driver.started) == (2, "", [])
    assert words in said.error_lines[0]
    assert len(said.error_lines) == 2


def test_sweeps_without_a_frontier_to_test(stabsearch: Any, tmp_path: Path) -> None:
    """None there, not ended, nothing safe, damaged, or a drift itself."""
    cases = {
        str(tmp_path / "nowhere"): "holds no sweep",
        str(played(tmp_path, "unfinished", 0.03, most=15)): "has not ended",
        str(played(tmp_path, "failed", 0.0)): "no safe learning rate",
    }
    damaged = played(tmp_path, "damaged", 0.03)
    (damaged / "study.journal").write_text("{broken\n")
    cases[str(damaged)] = "damaged"
    for folder, words in cases.items():
        said = stabsearch("drift", folder)
        assert (said.code, said.out) == (2, ""), folder
        assert words in said.err, folder
        assert len(said.error_lines) == 2, folder


def test_a_drift_is_no_sweep(stabsearch: Any, old: Path, world: Any) -> None:
    """Reading it as one would call its trials an answer."""
    world(breaks_above(0.03))
    stabsearch("drift", old, "-q")
    said = stabsearch("status", old / "drift" / "base-drift-1")
    assert said.code == 2
    assert "holds a drift" in said.err


def test_real_trials_run_by_the_same_driver(stabsearch: Any, old: Path) -> None:
    """Here two tiny trainings, one after another, as ``run`` would train them."""
    said = stabsearch("drift", old, "--trials", 2, "-q", "--set", "resources.driver=inline")
    assert said.code in {0, 1, 2}, said.err
    assert "a bug in stabsearch" not in said.err
    assert found(old)["trials"] == 2
    (head, *rows) = (old / "drift" / "base-drift-1" / "trials.csv").read_text().splitlines()
    assert len(rows) == 2
    assert "cpu" in rows[0], head
