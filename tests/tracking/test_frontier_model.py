"""The frontier in the model registry."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from tracking_samples import SWEEP_ID, make_frontier, make_mirror, make_record

from stabsearch.tracking.mlflow_mirror import MlflowMirror

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow import MlflowClient

    from stabsearch.config import Sweep

LOAD = """
import json, sys
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/quick-frontier/1")
configs = pandas.DataFrame(json.loads(sys.argv[2]))
heavy = [name for name in ("torch", "transformers", "ray", "optuna") if name in sys.modules]
print(json.dumps([heavy, model.predict(configs).to_dict("list")]))
"""


def close(sweep: Sweep, folder: Path, scale: float = 1.0) -> None:
    """Mirror a finished sweep whose frontier was fitted at this confidence."""
    frontier = make_frontier(confidence=0.9 * scale)
    delivery = make_mirror(sweep, folder).close([make_record(0)], None, frontier, "FINISHED")
    assert delivery.is_complete


def test_the_registered_frontier_predicts_in_another_process(sweep: Sweep, folder: Path) -> None:
    """``models:/<sweep>-frontier`` loads without torch and predicts what the frontier predicts."""
    close(sweep, folder)
    configs = [
        {"learning_rate": rate, "warmup_steps": 100, "max_grad_norm": 1, "precision": "bf16"}
        for rate in (1e-4, 1e-1)
    ]
    command = [sys.executable, "-c", LOAD, f"sqlite:///{folder}/mlflow.db", json.dumps(configs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    heavy, predicted = json.loads(done.stdout.splitlines()[-1])
    expected = make_frontier(confidence=0.9).predict(pd.DataFrame(configs)).to_dict("list")
    assert heavy == []
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
