"""The frontier in the model registry."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import mlflow.pyfunc
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from tracking_samples import SWEEP_ID, make_frontier, make_mirror, make_record, make_sweep

from stabsearch.frontier.answer import Answer, Verdict
from stabsearch.tracking.mlflow_mirror import MlflowMirror
from stabsearch.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlflow import MlflowClient

    from stabsearch.config import Sweep

LOAD = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[3:]:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/quick-frontier/1")
configs = pandas.DataFrame(json.loads(sys.argv[2]))
heavy = [name for name in ("torch", "transformers", "ray", "optuna") if name in sys.modules]
home = sys.modules["stabsearch"].__file__
print(json.dumps([heavy, home, model.predict(configs).to_dict("list")]))
"""
CONFIGS = [
    {"learning_rate": rate, "warmup_steps": 100, "max_grad_norm": 1.0, "precision": "bf16"}
    for rate in (1e-4, 1e-1)
]


def close(sweep: Sweep, folder: Path, scale: float = 1.0) -> None:
    """Mirror a finished sweep whose frontier was fitted at this confidence."""
    frontier = make_frontier(confidence=0.9 * scale)
    delivery = make_mirror(sweep, folder).close([make_record(0)], None, frontier, "FINISHED")
    assert delivery.is_complete


def test_the_registered_frontier_predicts_where_nothing_of_ours_is_installed(
    sweep: Sweep, folder: Path, tmp_path: Path
) -> None:
    """``models:/<sweep>-frontier`` brings along what it needs, and predicts what the frontier predicts."""
    close(sweep, folder)
    absent = ("torch", "transformers", "accelerate", "ray", "optuna", "matplotlib", "pyarrow.parquet")
    command = [sys.executable, "-c", LOAD, f"sqlite:///{folder}/mlflow.db", json.dumps(CONFIGS), *absent]
    # An editable install is a file that adds to the path when Python starts: without site there is none.
    packages = [path for path in sys.path if path.endswith("site-packages")]
    alone = {"PYTHONPATH": ":".join(packages), "PATH": os.environ["PATH"]}
    command.insert(1, "-S")
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=alone)
    heavy, home, predicted = json.loads(done.stdout.splitlines()[-1])
    expected = make_frontier(confidence=0.9).predict(pd.DataFrame(CONFIGS)).to_dict("list")
    assert heavy == []
    assert "numbers.zip" in home
    assert list(predicted) == ["failure_probability", "probability_low", "probability_high"]
    for column, values in expected.items():
        assert predicted[column] == pytest.approx(values)
    assert "Warning" not in done.stderr


def test_the_same_frontier_is_one_version(sweep: Sweep, folder: Path, client: MlflowClient) -> None:
    """Running a finished sweep again registers nothing new; another frontier is another version."""
    close(sweep, folder)
    close(sweep, folder)
    assert [found.version for found in client.search_model_versions("name = 'quick-frontier'")] == [1]
    close(sweep, folder, scale=0.9)
    found = client.search_model_versions("name = 'quick-frontier'")
    assert sorted(each.version for each in found) == [1, 2]
    assert {each.tags["stabsearch.sweep_id"] for each in found} == {SWEEP_ID}


def test_an_interrupted_sweep_registers_nothing(sweep: Sweep, folder: Path, client: MlflowClient) -> None:
    """A frontier that is still growing is not offered as a model."""
    mirror = MlflowMirror(sweep, SWEEP_ID, folder)
    mirror.open()
    mirror.close([make_record(0)], None, make_frontier(), "KILLED")
    assert client.search_model_versions("name = 'quick-frontier'") == []


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> str:
    """Return the folder of the registered model."""
    home = tmp_path_factory.mktemp("model")
    shutil.copy(empty_database, home / "mlflow.db")
    close(make_sweep(), home)
    (made,) = home.rglob("MLmodel")
    return str(made.parent)


@pytest.fixture(scope="module")
def predict(model: str) -> Callable[[pd.DataFrame], Any]:
    """What the registered model says of a table."""
    loaded: Callable[[pd.DataFrame], Any] = mlflow.pyfunc.load_model(model).predict
    return loaded


@pytest.mark.parametrize("here", ["99.1.0", None])
def test_a_stabsearch_of_another_version_is_refused_by_name(
    model: str, monkeypatch: pytest.MonkeyPatch, here: str | None
) -> None:
    """Both versions are said; two copies in one process would take each other's parts."""
    if here:
        monkeypatch.setattr("stabsearch.__version__", here)
    else:
        monkeypatch.delattr("stabsearch.__version__")
    said = f"registered by stabsearch {__version__}, and stabsearch {here or 'of an unknown version'} is here"
    with pytest.raises(MlflowException, match=re.escape(said)):
        mlflow.pyfunc.load_model(model)


def test_a_newer_stabsearch_registers_the_same_frontier_anew(
    sweep: Sweep, folder: Path, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version before cannot be loaded beside it."""
    close(sweep, folder)
    monkeypatch.setattr("stabsearch.tracking.registry.__version__", "99.1.0")
    close(sweep, folder)
    found = client.search_model_versions("name = 'quick-frontier'")
    assert {each.tags["stabsearch.version"] for each in found} == {__version__, "99.1.0"}


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("precision", "fp61", "row 1: no trials were planned for fp61"),
        ("precision", "fp32", "row 1: no trials were planned for fp32"),
        ("warmup_steps", 50, "row 1: no trials were planned for bf16 · warmup 50"),
        ("learning_rate", math.nan, "row 1: column 'learning_rate': got nan"),
        ("learning_rate", -1.0, "row 1: column 'learning_rate': got -1"),
        ("learning_rate", "fast", "learning_rate"),
    ],
)
def test_a_configuration_that_cannot_be_judged_is_refused_by_its_row(
    predict: Callable[[pd.DataFrame], Any], column: str, value: object, said: str
) -> None:
    """With the status of a bad request, so that a server says it too."""
    rows = [CONFIGS[0], {**CONFIGS[0], column: value}]
    with pytest.raises(MlflowException, match=re.escape(said)) as refused:
        predict(pd.DataFrame(rows))
    assert refused.value.error_code in {"INVALID_PARAMETER_VALUE", "BAD_REQUEST"}


def test_a_table_without_a_column_is_refused_by_its_name(predict: Callable[[pd.DataFrame], Any]) -> None:
    with pytest.raises(MlflowException, match="precision"):
        predict(pd.DataFrame(CONFIGS).drop(columns="precision"))


def test_no_configurations_are_no_predictions_and_other_columns_are_ignored(
    predict: Callable[[pd.DataFrame], Any],
) -> None:
    table = pd.DataFrame(CONFIGS)
    assert len(predict(table.iloc[:0])) == 0
    assert predict(table.assign(owner="ada")).equals(predict(table))


def test_a_version_says_what_it_may_claim(sweep: Sweep, folder: Path, client: MlflowClient) -> None:
    """On its page and on the model's; the one that fresh seeds confirmed has an alias."""
    answer = Answer(Verdict.CONFIRMED, "Use it.", None, None, 120, 2000)
    make_mirror(sweep, folder).close([make_record(0)], answer, make_frontier(), "FINISHED")
    version = client.get_model_version_by_alias("quick-frontier", "confirmed")
    assert "first **120 optimizer steps**" in version.description
    assert client.get_registered_model("quick-frontier").description == version.description
    assert version.tags["stabsearch.verdict"] == "confirmed"
