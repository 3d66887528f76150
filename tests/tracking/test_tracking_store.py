"""Where a sweep is tracked."""

from __future__ import annotations

import contextlib
import os
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tracking_samples import SWEEP_ID, free_port, make_sweep

from stabsearch.config.address import without_password
from stabsearch.errors import ExitCode, UserError
from stabsearch.tracking import NullTracker, make_tracker, mlflow_mirror, ui_command
from stabsearch.tracking.mlflow_mirror import MlflowMirror
from stabsearch.tracking.store import artifact_location, run_url, store_uri

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_name_the_store_is_in_the_folder(tmp_path: Path) -> None:
    """A sweep that names no server keeps its own database and files, absolutely."""
    uri = store_uri(None, tmp_path)
    assert uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert artifact_location(uri, tmp_path) == f"file://{tmp_path}/mlartifacts"


def test_a_server_keeps_files_where_it_likes(tmp_path: Path) -> None:
    """Artifacts of a tracking server are its own business."""
    assert artifact_location("http://tracking:5000", tmp_path) is None


def test_a_relative_database_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative SQLite path means the same from every folder afterwards."""
    monkeypatch.chdir(tmp_path)
    uri = store_uri("sqlite:///shared.db", tmp_path / "elsewhere")
    assert uri == f"sqlite:///{tmp_path}/shared.db"
    assert artifact_location(uri, tmp_path / "elsewhere") == f"file://{tmp_path}/mlartifacts"


def test_passwords_are_never_shown() -> None:
    """An address with a password is printed without it."""
    assert (
        run_url("https://ada:secret@tracking", "1", "abc") == "https://***@tracking/#/experiments/1/runs/abc"
    )
    assert "secret" not in without_password("failed: postgresql://ada:secret@db/mlflow refused")


def test_none_turns_tracking_off(tmp_path: Path) -> None:
    """``tracking.uri: none`` gives the tracker that does nothing."""
    tracker = make_tracker(make_sweep("none"), SWEEP_ID, tmp_path)
    assert isinstance(tracker, NullTracker)
    tracker.check()
    tracker.open()
    delivery = tracker.close([], None, None, "FINISHED")
    assert delivery.is_complete
    assert delivery.run_id is None


def test_a_named_store_gives_the_mirror(tmp_path: Path) -> None:
    """Every other address gives the MLflow mirror."""
    assert isinstance(make_tracker(make_sweep(), SWEEP_ID, tmp_path), MlflowMirror)


def test_a_store_that_is_not_required_may_be_away(tmp_path: Path) -> None:
    """One that can never be used is refused all the same."""
    make_tracker(make_sweep(f"http://127.0.0.1:{free_port()}", required=False), SWEEP_ID, tmp_path).check()
    with pytest.raises(UserError, match="plain folder"):
        make_tracker(make_sweep("./mlruns", required=False), SWEEP_ID, tmp_path).check()


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("http://127.0.0.1:{port}", "Connection refused"),
        ("./mlruns", "no longer keeps runs in a plain folder"),
        ("file:///tmp/mlruns", "no longer keeps runs in a plain folder"),
        ("sqlite:////nowhere/at/all/mlflow.db", "no such folder"),
    ],
)
def test_an_unusable_store_is_refused_before_the_first_trial(uri: str, text: str, tmp_path: Path) -> None:
    """A store that was named and cannot be used is the user's to put right, at tracking.uri."""
    tracker = make_tracker(make_sweep(uri.format(port=free_port())), SWEEP_ID, tmp_path)
    with pytest.raises(UserError, match=text) as caught:
        tracker.check()
    assert caught.value.key == ("tracking", "uri")
    assert caught.value.exit_code == ExitCode.CANNOT_JUDGE
    assert caught.value.hint


@pytest.mark.parametrize(("num_failures", "answers"), [(2, True), (3, False)])
def test_a_store_that_drops_a_request_is_asked_again(
    num_failures: int, answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may pass is tried three times; what would be the same again, once."""
    asked: list[str] = []
    mood: list[Exception] = [ConnectionError("not now")] * num_failures

    def connect(uri: str) -> Any:
        asked.append(uri)
        if mood:
            raise mood.pop()
        return SimpleNamespace(search_experiments=lambda max_results: [])

    monkeypatch.setattr(mlflow_mirror, "connect", connect)
    monkeypatch.setattr(mlflow_mirror, "_CHECK_PAUSES_S", (0.0, 0.0))
    tracker = make_tracker(make_sweep("http://127.0.0.1:9"), SWEEP_ID, tmp_path)
    with contextlib.nullcontext() if answers else pytest.raises(UserError, match="not now"):
        tracker.check()
    assert len(asked) == 3

    asked.clear()
    mood[:] = [ValueError("no such address")]
    with pytest.raises(UserError, match="no such address"):
        tracker.check()
    assert len(asked) == 1


def test_the_own_store_needs_no_check(tmp_path: Path) -> None:
    """A sweep on its own database has nothing to reach, and checking makes no file."""
    make_tracker(make_sweep(), SWEEP_ID, tmp_path).check()
    assert list(tmp_path.iterdir()) == []


def test_the_pages_are_served_on_loopback_only(tmp_path: Path) -> None:
    """``stabsearch ui`` listens where nobody else can reach it, with one worker."""
    (tmp_path / "mlflow.db").touch()
    command = ui_command(tmp_path, 5050)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5050"
    assert command[command.index("--workers") + 1] == "1"
    assert command[command.index("--backend-store-uri") + 1] == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_password_of_the_database_is_in_no_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may list the machine's processes would read it; the server takes it from its environment."""
    monkeypatch.setenv("STABSEARCH_TRACKING_PASSWORD", "pw/x")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "")
    address = "postgresql://ada:${STABSEARCH_TRACKING_PASSWORD}@db/mlflow"
    (tmp_path / "sweep.resolved.yaml").write_text(f"tracking: {{uri: '{address}'}}")
    assert "pw" not in " ".join(ui_command(tmp_path, 5050))
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == "postgresql://ada:pw%2Fx@db/mlflow"


@pytest.mark.parametrize(
    ("resolved", "text"),
    [
        (None, "no mlflow.db here"),
        ("tracking: {uri: none}", "not tracked"),
        ("tracking: {uri: 'http://ada:secret@tracking:5000'}", "open http://\\*\\*\\*@tracking:5000"),
        (
            "tracking: {uri: 'http://ada:${STABSEARCH_TRACKING_PASSWORD}@tracking:5000'}",
            "open http://\\*\\*\\*@tracking:5000",
        ),
    ],
)
def test_pages_that_cannot_be_served_are_explained(resolved: str | None, text: str, tmp_path: Path) -> None:
    """Where there is nothing to serve, the user reads where to look instead."""
    if resolved is not None:
        (tmp_path / "sweep.resolved.yaml").write_text(resolved)
    with pytest.raises(UserError) as caught:
        ui_command(tmp_path, 5050)
    assert re.search(text, str(caught.value))
