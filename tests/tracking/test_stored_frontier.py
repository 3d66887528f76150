"""A frontier fetched back from MLflow, and a configuration held against it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gate_samples import write_folder
from tracking_samples import make_frontier, make_mirror, make_record, make_sweep

from stabsearch.errors import UserError
from stabsearch.sweep.found_frontier import find_frontier
from stabsearch.sweep.gating import gate_training
from stabsearch.tracking.stored_frontier import fetch_frontier

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from stabsearch.config import Sweep


def deliver(sweep: Sweep, folder: Path) -> str:
    """Mirror a finished sweep with its files; return the id of its run."""
    write_folder(folder, frontier=make_frontier(), sweep=sweep)
    delivery = make_mirror(sweep, folder).close([make_record(0)], None, make_frontier(), "FINISHED")
    assert delivery.is_complete
    assert delivery.run_id
    return delivery.run_id


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "train.list"
    path.write_text("learning_rate=2e-4\nbf16=true\nwarmup_steps=100\nper_device_train_batch_size=16\n")
    return path


def test_a_run_and_its_model_say_what_the_folder_says(
    sweep: Sweep, folder: Path, client: MlflowClient, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every name that MLflow has for it."""
    run_id = deliver(sweep, folder)
    client.set_registered_model_alias("quick-frontier", "best", "1")
    expected = gate_training([config], str(folder))
    uri = f"sqlite:///{folder}/mlflow.db"
    names = (
        run_id, f"runs:/{run_id}", "models:/quick-frontier/1", "models:/quick-frontier/latest",
        "models:/quick-frontier@best",
    )  # fmt: skip
    for name in names:
        got = gate_training([config], name, tracking_uri=uri)
        assert got.gated == expected.gated
        assert got.is_inside
        assert got.stored.sweep == expected.stored.sweep
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert find_frontier(run_id).frontier == make_frontier()


def test_what_the_sweep_fixed_is_checked_for_a_model_too(
    sweep: Sweep, folder: Path, client: MlflowClient, config: Path
) -> None:
    """The sweep comes from the model's run; without the run it is said that it was not checked."""
    run_id = deliver(sweep, folder)
    uri = f"sqlite:///{folder}/mlflow.db"
    other = config.with_name("other")
    other.write_text(config.read_text() + "optim=sgd\n")
    with pytest.raises(UserError, match="optim is 'sgd'"):
        gate_training([other], "models:/quick-frontier/1", tracking_uri=uri)
    artifacts = Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://").replace("%20", " "))
    (artifacts / "sweep.resolved.yaml").unlink()
    result = gate_training([other], "models:/quick-frontier/1", tracking_uri=uri)
    assert any("not checked" in note for note in result.notes)


@pytest.mark.parametrize(
    "name",
    [
        "models:/none-frontier/1",
        "models:/none-frontier/latest",
        "models:/none@x",
        "models:/a'b/latest",
        "f" * 32,
    ],
)
def test_names_that_mean_nothing(folder: Path, name: str) -> None:
    with pytest.raises(UserError):
        find_frontier(name, f"sqlite:///{folder}/mlflow.db")


@pytest.mark.parametrize("name", ["models:/", "models:/x/y", "models:/../../etc/1/2", "runs:/x"])
def test_names_of_no_known_form(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match="neither a run id nor a registered model"):
        find_frontier(name, f"sqlite:///{folder}/mlflow.db")


def test_a_run_without_a_frontier(folder: Path, client: MlflowClient) -> None:
    run = client.create_run(client.create_experiment("e", artifact_location=folder.as_uri()))
    with pytest.raises(UserError, match=r"holds no frontier\.json"):
        find_frontier(run.info.run_id, f"sqlite:///{folder}/mlflow.db")


def test_a_store_that_does_not_answer(tmp_path: Path) -> None:
    for uri in ("http://127.0.0.1:9", "mlruns", f"sqlite:///{tmp_path}/no/such.db"):
        with pytest.raises(UserError):
            fetch_frontier("f" * 32, uri, tmp_path)


@pytest.mark.mlflow_server
def test_a_real_server_hands_it_out(server: tuple[str, int], tmp_path: Path, config: Path) -> None:
    """Run and model, over HTTP."""
    url, _ = server
    run_id = deliver(make_sweep(url), tmp_path / "quick")
    for name in (run_id, "models:/quick-frontier/1"):
        assert gate_training([config], name, tracking_uri=url).is_inside
