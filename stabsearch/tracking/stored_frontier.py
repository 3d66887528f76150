"""A sweep's frontier fetched back from MLflow: by the id of its run, or as the registered model."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow.artifacts
from mlflow.exceptions import MlflowException

from stabsearch.errors import UserError
from stabsearch.tracking.experiment import connect
from stabsearch.tracking.reason import reason
from stabsearch.tracking.store import refuse_unusable, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MODEL = re.compile(r"models:/([^/@]{1,200})(?:/([0-9]{1,9}|latest)|@([\w-]{1,200}))?")
_RUN = re.compile(r"(?:runs:/)?([0-9a-f]{32})")
_HOW = "name a run id, or models:/NAME-frontier[/VERSION]; --tracking-uri says in which store"
_FILES = ("frontier.json", "sweep.resolved.yaml")


def is_stored(name: str) -> bool:
    """Return whether a name means something in MLflow rather than a folder."""
    return name.startswith(("models:", "runs:")) or bool(_RUN.fullmatch(name))


def fetch_frontier(name: str, uri: str, folder: Path) -> None:
    """Put ``frontier.json``, and ``sweep.resolved.yaml`` where it is there, into an empty folder.

    Nothing of the model is run. Of a model whose run is gone only the frontier comes.

    Args:
        name: id of the sweep's run, or ``models:/<sweep>-frontier``, the newest version, or one with
            ``/<version>``, ``/latest`` or ``@alias``.
        uri: address of the store; the password's place may hold the name of its variable.
        folder: where the files go.

    Raises:
        UserError: no such name, nothing of a sweep under it, or the store does not answer.
    """
    found, run = _MODEL.fullmatch(name), _RUN.fullmatch(name)
    if not found and not run:
        raise UserError(f"{name}: neither a run id nor a registered model", _HOW)
    try:
        refuse_unusable(uri)
        client = connect(store_uri(uri, folder))
        if run:
            _from_run(client, run[1], folder, _FILES)
        elif found:
            _from_model(client, found, uri, folder)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever MLflow and the libraries below it raise
        raise UserError(f"{name} cannot be read from MLflow: {reason(error)}", _HOW) from None
    if not (folder / "frontier.json").is_file():
        raise UserError(f"{name} holds no frontier.json", "a finished sweep's run has one")


def _from_run(client: MlflowClient, run_id: str, folder: Path, names: tuple[str, ...]) -> None:
    there = {each.path for each in client.list_artifacts(run_id)}
    for name in names:
        if name in there:
            client.download_artifacts(run_id, name, str(folder))


def _from_model(client: MlflowClient, found: re.Match[str], uri: str, folder: Path) -> None:
    name, version, alias = found.groups()
    if alias:
        model = client.get_model_version_by_alias(name, alias)
    elif version in {None, "latest"}:
        versions = client.search_model_versions(f"name = '{name}'") if "'" not in name else []
        if not versions:
            raise UserError(f"no registered model is called {name}", _HOW)
        model = max(versions, key=lambda each: int(each.version))
    else:
        model = client.get_model_version(name, version)
    if model.run_id:
        with contextlib.suppress(MlflowException):  # the run was deleted; the model says what it says
            _from_run(client, model.run_id, folder, ("sweep.resolved.yaml",))
    source = f"{str(model.source).rstrip('/')}/artifacts/frontier.json"
    mlflow.artifacts.download_artifacts(
        artifact_uri=source, dst_path=str(folder), tracking_uri=store_uri(uri, folder)
    )
