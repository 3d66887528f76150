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
    """One sweep of ten trials, four kills; then the same checks see what was planted."""
    said: list[str] = []
    (end,) = run(home, kills=4, seed=2, trials=10, per_sweep=4, on_cluster=False, say=said.append)
    assert end.damage == Damage(), said
    assert end.story.kills.total() == 4
    assert end.story.kills.keys() <= LOCAL.keys()
    assert end.story.runs > 1

    with servers.mlflow_server(home / "mlflow") as tracker:
        store = tracker.store
    client = MlflowClient(store)
    children = [run for run in _runs(client) if "mlflow.parentRunId" in run.data.tags]
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
