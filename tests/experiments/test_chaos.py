"""A bounded form of the chaos experiment, and that its counts can be other than zero."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from experiments.chaos.checks import Damage, damage_of
from experiments.chaos.story import LOCAL
from experiments.chaos.sweeps import run
from experiments.on_loopback import servers
from stabsearch.search.stored import read_study

pytestmark = [pytest.mark.ray, pytest.mark.mlflow_server]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short path: Ray's sockets have their names below it."""
    folder = Path(tempfile.mkdtemp(prefix="c", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", os.environ.get("TMPDIR", ""))
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    yield folder
    shutil.rmtree(folder)


def test_what_is_killed_at_random_is_whole_in_the_end(home: Path) -> None:
    """Sweeps of ten trials, four kills in all; then the same checks see what was planted."""
    said: list[str] = []
    ends = run(home, kills=4, seed=2, trials=10, per_sweep=4, on_cluster=False, say=said.append)
    assert {end.damage for end in ends} == {Damage()}, said
    assert sum(end.story.kills.total() for end in ends) == 4
    assert all(end.story.kills.keys() <= LOCAL.keys() for end in ends)
    end = ends[0]

    with servers.mlflow_server(home / "mlflow") as tracker:
        store = tracker.store
    client = MlflowClient(store)
    sweep_id = read_study(end.story.folder).user_attrs["stabsearch.sweep_id"]
    mine = [run for run in _runs(client) if run.data.tags["stabsearch.sweep_id"] == sweep_id]
    children = [run for run in mine if "mlflow.parentRunId" in run.data.tags]
    client.update_run(children[0].info.run_id, status="RUNNING")
    twin = children[1]
    client.create_run(twin.info.experiment_id, tags=dict(twin.data.tags))
    table = end.story.folder / "trials.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    seen = damage_of(end.story, store, home)
    assert (seen.lost, seen.duplicated, seen.left_files, seen.over_budget) == (1, 1, 0, 0)
    assert seen.zombies == 2  # the reopened one, and the twin
    assert seen.mis_tagged >= 2


def _runs(client: MlflowClient) -> list:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, max_results=100))
