"""The frontier in MLflow's model registry."""

from __future__ import annotations

import hashlib
import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.pyfunc
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from stabsearch.records.hyperparameters import HYPERPARAMETERS, Hyperparameter, of_role
from stabsearch.tracking.layout import SWEEP_TAG
from stabsearch.trial.temporary import temporary_folder
from stabsearch.version import __version__

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

_DIGEST_TAG = "stabsearch.frontier_sha256"
_CODE = Path(__file__).with_name("frontier_model.py")
_OUTPUTS = Schema(
    [
        ColSpec(DataType.double, name)
        for name in ("failure_probability", "probability_low", "probability_high")
    ]
)


def register_frontier(
    client: MlflowClient,
    name: str,
    frontier: dict[str, Any],
    *,
    experiment_id: str,
    run_id: str,
    sweep_id: str,
) -> None:
    """Make ``models:/<name>`` predict with this frontier; the same one twice is one version.

    Args:
        client: of the store, and of its registry.
        name: name in the registry.
        frontier: what ``Frontier.to_json`` returned.
        experiment_id: where the model is logged.
        run_id: run of the sweep.
        sweep_id: identity of the sweep.
    """
    text = json.dumps(frontier, sort_keys=True)
    tags = {_DIGEST_TAG: hashlib.sha256(text.encode()).hexdigest(), SWEEP_TAG: sweep_id}
    if _is_registered(client, name, tags):
        return
    model = client.create_logged_model(experiment_id, name=name, source_run_id=run_id, tags=tags)
    with temporary_folder() as scratch:
        client.log_model_artifacts(model.model_id, str(_write(model, frontier, text, scratch)))
    client.finalize_logged_model(model.model_id, "READY")
    _make_name(client, name)
    # The location, not models:/<id>: a database registry looks that up in the process-wide store.
    client.create_model_version(
        name, model.artifact_location, run_id, tags, await_creation_for=0, model_id=model.model_id
    )


def _is_registered(client: MlflowClient, name: str, tags: dict[str, str]) -> bool:
    versions = client.search_model_versions(f"name = '{name}'")
    return any(tags.items() <= version.tags.items() for version in versions)


def _make_name(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def inputs_of(frontier: dict[str, Any]) -> Schema:
    """Return the columns that the model takes: the learning rate, and everything that was searched."""
    named = {name for context in frontier["contexts"] for name, value in context.items() if value is not None}
    needed = {row.name for row in of_role("intensity", "context")} | named
    return Schema([_column(row) for row in HYPERPARAMETERS.values() if row.name in needed])


def _column(row: Hyperparameter) -> ColSpec:
    if row.scale == "category":
        return ColSpec(DataType.string, row.name)
    return ColSpec(DataType.long if row.is_whole else DataType.double, row.name)


def _write(model: LoggedModel, frontier: dict[str, Any], text: str, scratch: Path) -> Path:
    """Return the folder of the model's files: code, frontier, requirements, signature."""
    (scratch / "frontier.json").write_text(text, encoding="utf-8")
    folder = scratch / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow asks for an example of the input; the schema says it all
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(_CODE),
            artifacts={"frontier": str(scratch / "frontier.json")},
            signature=ModelSignature(inputs_of(frontier), _OUTPUTS),
            pip_requirements=requirements(),
            mlflow_model=Model(model_id=model.model_id),
        )
    return folder


def requirements() -> list[str]:
    """Return what the model needs to load, at the versions it was made with."""
    libraries = [f"{library}=={version(library)}" for library in ("mlflow", "numpy", "pandas", "scipy")]
    return [f"stabsearch=={__version__}", *libraries]
