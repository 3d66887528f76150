"""What a sweep was asked for reaches the sampler and the answer, and comes back from the study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stabsearch.config import Sweep
from stabsearch.config.resolve import resolve
from stabsearch.frontier import Verdict
from stabsearch.report.views import QuietView
from stabsearch.search import samplers
from stabsearch.sweep import running
from stabsearch.sweep.disk import DiskWatch
from stabsearch.sweep.prepared import Prepared
from stabsearch.sweep.reading import read_sweep, recommend_from
from stabsearch.testing.records import breaks_above
from stabsearch.testing.scripted import ScriptedDriver
from stabsearch.tracking import NullTracker


def prepared_of(**parts: Any) -> Prepared:
    sections = {
        "name": "test",
        "task": {"type": "quickstart"},
        "training": {"max_steps": 400},
        "search": {
            "learning_rate": {"low": 1e-5, "high": 1.0}, "warmup": [0], "precision": ["fp32", "bf16"],
            "goal": "recommend", "tolerance": 0.3,
        },
        "budget": {"trials": 60, "horizon": 12},
        "risk": {"confirmation": "stress"},
        **parts,
    }  # fmt: skip
    sweep = Sweep.model_validate(sections)
    return Prepared(sweep, resolve(sweep, 1000))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that was run to its end, as its study holds it."""
    prepared, tmp_path = prepared_of(), tmp_path_factory.mktemp("sweep")
    study = running.open_study(prepared, tmp_path)
    study.keep_sweep({**prepared.to_json(), "command": "test", "versions": {}})
    watch = DiskWatch(tmp_path, tmp_path, None)
    campaign = running._campaign(prepared, study, watch, NullTracker(), QuietView())
    ScriptedDriver(breaks_above(1e-2)).run(campaign)
    return tmp_path


def test_the_goal_reaches_the_sampler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the words of the report."""
    asked: list[str] = []
    make = samplers.make_sampler

    def watched(*args: Any, goal: Any, **kwargs: Any) -> Any:
        asked.append(goal)
        return make(*args, goal=goal, **kwargs)

    monkeypatch.setattr(samplers, "make_sampler", watched)
    running.open_study(prepared_of(), tmp_path).ask()
    assert asked == ["recommend"]


def test_the_study_alone_tells_how_a_sweep_ended(folder: Path) -> None:
    """Why the search ended, the stress test, and the frontier over the full run."""
    answer = read_sweep(folder).answer
    assert answer.verdict is Verdict.CONFIRMED
    assert "by its tolerance" in answer.ended
    assert answer.confirmation is not None
    assert answer.confirmation.kind == "stress"
    assert {each.context.precision for each in answer.extrapolated} == {"fp32", "bf16"}


def test_asking_for_less_risk_does_not_change_why_the_search_ended(folder: Path) -> None:
    """It ended by what it was run for, whatever is asked of it later."""
    ended = read_sweep(folder).answer.ended
    assert recommend_from(folder, max_risk=0.02).answer.ended == ended
    assert recommend_from(folder, precision="bf16").answer.ended == ended
