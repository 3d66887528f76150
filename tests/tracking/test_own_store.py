"""The sweep's own database is there whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from tracking_samples import make_mirror, make_record, make_sweep

from stabsearch.tracking import own_store
from stabsearch.tracking.experiment import connect
from stabsearch.tracking.own_store import make_whole


def test_a_process_killed_while_tables_are_made_leaves_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow cannot go on with half of one: the next run begins anew."""
    database = tmp_path / "mlflow.db"

    def dies(uri: str) -> None:
        Path(uri.removeprefix("sqlite:///")).write_bytes(b"half of a database")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(own_store, "connect", dies)
        with pytest.raises(KeyboardInterrupt):
            make_whole(database)
    assert not database.exists()
    make_whole(database)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    client = connect(f"sqlite:///{database}")
    experiment = client.create_experiment("mine")
    make_whole(database)
    assert client.get_experiment(experiment).name == "mine"


def test_a_sweep_makes_its_own_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on from what a killed run left."""
    (tmp_path / "mlflow.db.new").write_bytes(b"half of a database")
    made: list[str] = []

    def connects(uri: str) -> object:
        made.append(uri)
        return connect(uri)

    monkeypatch.setattr(own_store, "connect", connects)
    mirror = make_mirror(make_sweep(), tmp_path)
    delivery = mirror.close([make_record(0)], None, None, "FINISHED")
    assert delivery.is_complete
    assert made == [f"sqlite:///{tmp_path / 'mlflow.db.new'}"]
