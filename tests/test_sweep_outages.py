"""A sweep whose tracking server comes and goes: nothing waits for it, and it ends up with everything once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_runs import SLOW, Home, check_whole, mlflow_runs, only_json, stabsearch

from experiments.on_loopback.between import Between, Mood, between
from experiments.on_loopback.servers import (
    PASSWORD,
    USER,
    Postgres,
    Server,
    mlflow_server,
    postgres,
    postgres_url,
)

SHORT = (*SLOW, "budget.trials=8", "risk.confirmation_trials=0")
pytestmark = pytest.mark.mlflow_server


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """A Postgres for a study and for MLflow, and what clients need to be let in."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    with postgres("mlflow", "study") as server:
        yield server


@pytest.fixture
def server(tmp_path: Path, database: Postgres) -> Iterator[Server]:
    """An MLflow server with logins, on Postgres, that has not been started."""
    with mlflow_server(tmp_path / "server", postgres_url(database.port, "mlflow"), has_logins=True) as server:
        yield server


def test_down_at_the_start_up_in_between_and_down_at_the_end(
    tmp_path: Path, database: Postgres, server: Server
) -> None:
    """The study is on Postgres, and the driver is killed as well: the server ends up with each trial once."""
    home = Home.made(tmp_path)
    settings = (
        *SHORT, f"tracking.uri={server.url}", "tracking.required=false",
        f"study.storage={postgres_url(database.port, 'study')}",
    )  # fmt: skip
    first = home.start(settings=settings)
    first.wait_for(2)
    server.start()
    first.wait_for(4)
    first.stop(signal.SIGKILL)
    server.kill()

    last = home.run("--json", settings=settings)
    assert last.stdout, last.stderr
    assert last.returncode == only_json(last)["exit_code"], last.stderr
    done = sum(only_json(last)["outcomes"].values())
    missing = only_json(last)["mlflow"]["missing"]
    assert 0 < missing <= done
    assert f"stabsearch report {home.folder} --sync" in last.stderr.splitlines()[-1]

    refused = stabsearch("report", str(home.folder), "--sync")
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 2)
    server.start()
    for _ in range(2):
        synced = stabsearch("report", str(home.folder), "--sync", "--json")
        assert synced.returncode == 0, synced.stderr
        assert only_json(synced)["mlflow"]["missing"] == 0
        check_whole(home, done, server.url)
    parent = next(run for run in mlflow_runs(home, server.url) if "mlflow.parentRunId" not in run.data.tags)
    assert parent.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert list((tmp_path / "server" / "artifacts").rglob("report.html"))
    assert PASSWORD not in last.stdout + last.stderr + refused.stderr
    for path in (path for path in home.path.rglob("*") if path.is_file() and "server" not in path.parts):
        assert PASSWORD.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("driver", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
def test_a_database_that_goes_away_loses_nothing(tmp_path: Path, database: Postgres, driver: str) -> None:
    """Two lines say what to do; the same command goes on with the study as it was."""
    home = Home.made(tmp_path, driver)
    settings = (*SHORT, f"study.storage={postgres_url(database.port, 'study')}")
    running = home.start(settings=settings)
    running.wait_for(4)
    database.stop()
    code, out, seen = running.ended()
    assert (code, out) == (2, ""), seen
    said = [line for line in seen.splitlines() if not line.startswith("[")]
    assert "cannot be reached" in said[-2], seen
    assert "the same command goes on" in said[-1], seen
    assert "Traceback" not in seen
    away = stabsearch("status", str(home.folder))
    assert (away.returncode, len(away.stderr.splitlines())) == (2, 2), away.stderr

    database.start()
    last = home.run("--json", settings=settings)
    assert last.returncode in {0, 1, 2}, last.stderr
    assert last.stdout, last.stderr
    check_whole(home, sum(only_json(last)["outcomes"].values()))
    assert PASSWORD not in seen + away.stderr + last.stdout + last.stderr


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Between]:
    """A go-between before a plain MLflow server that runs."""
    with mlflow_server(tmp_path / "server") as plain:
        plain.start()
        with between(plain.port) as standing:
            yield standing


def of(odd: Between) -> tuple[str, ...]:
    """Return the settings of a sweep of short trials that tells it."""
    return (
        f"tracking.uri={odd.url}",
        "budget.trials=8",
        "risk.confirmation_trials=0",
        "tracking.required=false",
    )


def test_a_server_that_hangs_holds_up_no_trial(tmp_path: Path, odd: Between) -> None:
    """It answers nothing before the last trial is done; then everything arrives."""
    home = Home.made(tmp_path)
    odd.be("hangs")
    running = home.start(settings=of(odd))
    running.wait_for(8)
    odd.be("faithful")
    code, _, seen = running.ended()
    assert code in {0, 1, 2}, seen
    assert "not in MLflow" not in seen
    assert "--sync" not in seen
    check_whole(home, 8, odd.url)


@pytest.mark.parametrize("mood", ["fails", "loses replies"])
def test_a_server_that_answers_badly_gets_everything_once(tmp_path: Path, odd: Between, mood: Mood) -> None:
    """Also what it did without saying so is there once."""
    home = Home.made(tmp_path)
    odd.be(mood)
    ended = home.run("--json", settings=of(odd))
    assert ended.stdout, ended.stderr
    assert odd.num_requests > 40
    synced = stabsearch("report", str(home.folder), "--sync", "--json")
    assert only_json(synced)["mlflow"]["missing"] == 0, synced.stderr
    odd.be("faithful")
    check_whole(home, 8, odd.url)


def test_a_server_that_may_only_be_read_is_no_hindrance(tmp_path: Path, odd: Between) -> None:
    """The reason is said; once it may be written, one command delivers everything."""
    home = Home.made(tmp_path)
    odd.be("read-only")
    ended = home.run("--json", settings=of(odd))
    assert ended.returncode == only_json(ended)["exit_code"], ended.stderr
    assert only_json(ended)["mlflow"]["missing"] == 8
    assert "Permission denied" in ended.stderr
    assert "Traceback" not in ended.stderr
    odd.be("faithful")
    assert stabsearch("report", str(home.folder), "--sync").returncode == 0
    check_whole(home, 8, odd.url)
