"""The gate on the frontier of a real sweep, with the real command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sweep_runs import Home, only_json, stabsearch

pytestmark = pytest.mark.cli


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return one finished sweep."""
    home = Home.made(tmp_path_factory.mktemp("gate"))
    done = home.run("--quiet")
    assert done.returncode == 0, done.stderr
    return home


def gate(home: Home, config: Path, *arguments: str) -> tuple[int, str, str]:
    done = stabsearch("gate", str(config), "--frontier", str(home.folder), *arguments)
    return done.returncode, done.stdout, done.stderr


def test_what_the_sweep_recommends_passes_its_gate(home: Home) -> None:
    code, out, err = gate(home, home.folder / "recommended.json")
    assert (code, err) == (0, "")
    assert out.startswith("inside the safe region: ")


def test_far_above_it_does_not(home: Home, tmp_path: Path) -> None:
    """The answer names the safe learning rate; with it in the file the gate opens."""
    settings = json.loads((home.folder / "recommended.json").read_text())
    path = tmp_path / "train.json"
    path.write_text(json.dumps({**settings, "learning_rate": 1.0}))
    risky = stabsearch("gate", str(path), "--frontier", str(home.folder), "--format", "json")
    data = only_json(risky)
    assert (risky.returncode, data["verdict"]) == (1, "too_risky")
    path.write_text(json.dumps({**settings, "learning_rate": data["safe_learning_rate"]}))
    assert gate(home, path)[0] == 0


def test_the_run_in_the_sweeps_own_store(home: Home) -> None:
    store = f"sqlite:///{home.folder}/mlflow.db"
    config = str(home.folder / "recommended.json")
    for name in ("models:/tiny-frontier/1", "models:/tiny-frontier/latest"):
        done = stabsearch("gate", config, "--frontier", name, "--tracking-uri", store)
        assert (done.returncode, done.stderr) == (0, "")


def test_another_batch_size_is_not_covered(home: Home, tmp_path: Path) -> None:
    settings = json.loads((home.folder / "recommended.json").read_text())
    path = tmp_path / "train.json"
    path.write_text(json.dumps({**settings, "per_device_train_batch_size": 64}))
    code, out, err = gate(home, path)
    assert (code, out) == (2, "")
    assert "per_device_train_batch_size is 64, and every trial of the sweep had 8" in err
