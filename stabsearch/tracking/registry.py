"""The frontier in MLflow's model registry."""

from __future__ import annotations

import hashlib
import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.pyfunc
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from stabsearch.frontier.answer import Verdict
from stabsearch.records.hyperparameters import HYPERPARAMETERS, Hyperparameter, of_role
from stabsearch.tracking.bundle import write_bundle
from stabsearch.tracking.layout import SWEEP_TAG, VERSION_TAG
from stabsearch.trial.temporary import temporary_folder
from stabsearch.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

CONFIRMED_ALIAS = "confirmed"

_DIGEST_TAG = "stabsearch.frontier_sha256"
_VERDICT_TAG = "stabsearch.verdict"
_MAX_EXAMPLES = 5  # chosen: what a page shows without scrolling
_ARTIFACTS = {"frontier": "frontier.json", "numbers": "numbers.zip"}
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
    card: str = "",
    verdict: Verdict | None = None,
) -> None:
    """Make ``models:/<name>`` predict with this frontier; the same one twice is one version.

    ``models:/<name>@confirmed`` is the newest version whose configuration fresh seeds confirmed.

    Args:
        client: of the store, and of its registry.
        name: name in the registry.
        frontier: what ``Frontier.to_json`` returned.
        experiment_id: where the model is logged.
        run_id: run of the sweep.
        sweep_id: identity of the sweep.
        card: what the model may claim, in Markdown.
        verdict: of the sweep; None where there is none.
    """
    text = json.dumps(frontier, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    tags = {_DIGEST_TAG: digest, SWEEP_TAG: sweep_id, VERSION_TAG: __version__}
    shown = tags | ({_VERDICT_TAG: verdict.value} if verdict else {})
    found = _registered(client, name, tags)
    if found is None:
        model = client.create_logged_model(experiment_id, name=name, source_run_id=run_id, tags=tags)
        with temporary_folder() as scratch:
            client.log_model_artifacts(model.model_id, str(_write(model, frontier, text, scratch)))
        client.finalize_logged_model(model.model_id, "READY")
        _make_name(client, name)
        # The location, not models:/<id>: a database registry looks that up in the process-wide store.
        found = client.create_model_version(
            name, model.artifact_location, run_id, tags, await_creation_for=0, model_id=model.model_id
        ).version
    _describe(client, name, found, card, shown)


def _registered(client: MlflowClient, name: str, tags: dict[str, str]) -> str | None:
    versions = client.search_model_versions(f"name = '{name}'")
    return next((each.version for each in versions if tags.items() <= each.tags.items()), None)


def _describe(client: MlflowClient, name: str, version: str, card: str, tags: Mapping[str, str]) -> None:
    """Put the card on the version and on the model: people open either."""
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    client.update_model_version(name, version, card)
    client.update_registered_model(name, card)
    if tags.get(_VERDICT_TAG) == Verdict.CONFIRMED:
        client.set_registered_model_alias(name, CONFIRMED_ALIAS, version)


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


def _example(frontier: dict[str, Any], inputs: Schema) -> pd.DataFrame:
    """Return configurations to try the model with: every context, at its frontier or the lowest rate."""
    lowest = frontier["learning_rate_range"][0]
    rows = [
        {**context, "learning_rate": context["lr_safe"] or lowest}
        for context in frontier["contexts"][:_MAX_EXAMPLES]
    ]
    return pd.DataFrame(rows, columns=inputs.input_names())


def _write(model: LoggedModel, frontier: dict[str, Any], text: str, scratch: Path) -> Path:
    """Return the folder of the model's files: code, numbers, frontier, requirements, signature, example."""
    inputs = inputs_of(frontier)
    write_bundle(scratch / "numbers.zip")
    (scratch / "frontier.json").write_text(text, encoding="utf-8")
    folder = scratch / "model"
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # MLflow warns that whole numbers have no missing value: nor have these
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(_CODE),
            artifacts={name: str(scratch / file) for name, file in _ARTIFACTS.items()},
            signature=ModelSignature(inputs, _OUTPUTS),
            input_example=_example(frontier, inputs),
            pip_requirements=requirements(),
            model_config={"stabsearch": __version__},
            mlflow_model=Model(model_id=model.model_id),
        )
    return folder


def requirements() -> list[str]:
    """Return what the model needs to load, at the versions it was made with; stabsearch is not among it."""
    return [f"{library}=={version(library)}" for library in ("mlflow", "numpy", "pandas", "scipy")]
