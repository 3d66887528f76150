"""Stores for the tests of the mirror: a database, a flaky one, a real server."""

from __future__ import annotations

import select
import shutil
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from tracking_samples import Flaky, free_port, make_sweep, stop_group

from stabsearch.tracking import mlflow_mirror, ui_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlflow import MlflowClient

    from stabsearch.config import Sweep


@pytest.fixture
def sweep() -> Sweep:
    """A sweep on its own store."""
    return make_sweep()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs: making its tables takes seconds, copying it does not."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    mlflow_mirror.connect(f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture
def folder(tmp_path: Path, empty_database: Path) -> Path:
    """The folder of a sweep, a space in its name, with an empty store in it."""
    path = tmp_path / "my runs"
    path.mkdir()
    shutil.copy(empty_database, path / "mlflow.db")
    return path


@pytest.fixture
def client(folder: Path) -> MlflowClient:
    """A client of the store in the folder."""
    return mlflow_mirror.connect(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def flaky(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> Flaky:
    """The client that every mirror of this test gets."""
    flaky = Flaky(client)
    monkeypatch.setattr(mlflow_mirror, "connect", lambda uri: flaky)
    return flaky


@pytest.fixture
def server(tmp_path: Path, empty_database: Path) -> Iterator[tuple[str, int]]:
    """A real MLflow server, as ``stabsearch ui`` starts it: its address and its process id."""
    served = tmp_path / "served"
    served.mkdir()
    shutil.copy(empty_database, served / "mlflow.db")
    port = free_port()
    command = ui_command(served, port)
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_healthy(url, process)
            yield url, process.pid
        finally:
            stop_group(process.pid)
            process.wait()


def wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the server answers; fail when it ends before that."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            select.select([], [], [], 0.2)  # lets others have the processor until the next poll
    pytest.fail("the MLflow server ended before it answered")
