"""What a running sweep would answer if it ended now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from test_goes_through import prepared_of

from stabsearch.report.standing import Standing
from stabsearch.report.views import QuietView
from stabsearch.sweep import onlooker as onlooking
from stabsearch.sweep import running
from stabsearch.sweep.disk import DiskWatch
from stabsearch.sweep.onlooker import onlooker, told_of
from stabsearch.sweep.prepared import Prepared
from stabsearch.sweep.reading import read_sweep
from stabsearch.testing.records import breaks_above
from stabsearch.testing.scripted import ScriptedDriver
from stabsearch.tracking import Look, NullTracker

WAIT_S = 120.0


class Looking(QuietView):
    """Keeps what it is told, and may fail at it."""

    is_watched = True

    def __init__(self, fault: Exception | None = None) -> None:
        self.standings: list[Standing] = []
        self.said: list[str] = []
        self.told = Event()
        self._fault = fault

    def stands(self, standing: Standing) -> None:
        self.standings.append(standing)
        if self._fault:
            raise self._fault
        self.told.set()

    def message(self, text: str) -> None:
        self.said.append(text)
        self.told.set()


def run(prepared: Prepared, folder: Path, view: QuietView, looking: onlooking.Onlooker | None) -> None:
    folder.mkdir()
    study = running.open_study(prepared, folder)
    study.keep_sweep({**prepared.to_json(), "command": "test", "versions": {}})
    watch = DiskWatch(folder, folder, None)
    campaign = running._campaign(prepared, study, watch, NullTracker(), view, looking)
    ScriptedDriver(breaks_above(1e-2)).run(campaign)


def test_the_answer_so_far_is_the_answer_that_the_sweep_would_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its end they are the same, frontier and all."""
    monkeypatch.setattr(onlooking, "LEAST_PAUSE_S", 0.0)
    monkeypatch.setattr(onlooking, "SHARE", 0.0)
    prepared, view = prepared_of(), Looking()
    with onlooker(prepared, told_of(prepared, view, NullTracker()), view.message) as looking:
        assert looking is not None
        run(prepared, tmp_path / "sweep", view, looking)
        result = read_sweep(tmp_path / "sweep")
        while not view.standings or view.standings[-1].num_trials < len(result.trials):
            view.told.clear()
            looking.see(result.findings.records)
            assert view.told.wait(WAIT_S)
    standing = view.standings[-1]
    assert standing.answer == replace(result.answer, ended="")
    assert standing.rows == result.findings.rows
    assert standing.best == result.answer.recommendation.context  # type: ignore[union-attr]


def test_a_view_that_fails_loses_its_answer_alone(tmp_path: Path) -> None:
    """The sweep goes on as if nobody looked."""
    prepared, view = prepared_of(), Looking(ValueError("broken"))
    with onlooker(prepared, told_of(prepared, view, NullTracker()), view.message) as looking:
        run(prepared, tmp_path / "looked at", view, looking)
        assert view.told.wait(WAIT_S)
    run(prepared, tmp_path / "alone", QuietView(), None)
    assert view.said == ["the answer so far cannot be shown: ValueError: broken"]
    looked_at, alone = (read_sweep(tmp_path / name) for name in ("looked at", "alone"))
    assert looked_at.answer == alone.answer
    columns = ["number", "outcome", "learning_rate", "precision", "stage"]
    assert looked_at.trials[columns].equals(alone.trials[columns])


def test_nothing_is_worked_out_where_nobody_looks() -> None:
    """Without a view and without a tracker."""
    prepared, view = prepared_of(), QuietView()
    with onlooker(prepared, told_of(prepared, view, NullTracker()), view.message) as looking:
        assert looking is None


class Followed(NullTracker):
    """Keeps what it is shown."""

    is_watched = True

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self.told = Event()

    def progress(self, look: Look) -> None:
        if look.records:  # the first look may come before any trial has ended
            self.looks.append(look)
            self.told.set()


def test_a_tracker_is_told_where_nobody_sits_at_a_terminal(tmp_path: Path) -> None:
    """A quiet sweep is followed in MLflow."""
    prepared, view, tracker = prepared_of(), QuietView(), Followed()
    with onlooker(prepared, told_of(prepared, view, tracker), view.message) as looking:
        run(prepared, tmp_path / "sweep", view, looking)
        assert tracker.told.wait(WAIT_S)
    assert tracker.looks[-1].answer is not None


def test_a_view_that_fails_takes_nothing_from_the_tracker(tmp_path: Path) -> None:
    """Each is told by itself; what failed once is not tried again."""
    prepared, view, tracker = prepared_of(), Looking(ValueError("broken")), Followed()
    with onlooker(prepared, told_of(prepared, view, tracker), view.message) as looking:
        run(prepared, tmp_path / "sweep", view, looking)
        assert tracker.told.wait(WAIT_S)
    assert len(view.standings) == 1
    assert view.said == ["the answer so far cannot be shown: ValueError: broken"]
