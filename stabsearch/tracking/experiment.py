"""The experiment a sweep's runs are put into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.entities import Run

_PAGE = 1000  # chosen: what MLflow itself takes as a page


def connect(uri: str) -> MlflowClient:
    """Return a client of this store alone; MLflow's process-wide settings stay as they are."""
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def find_experiment(client: MlflowClient, name: str, artifact_location: str | None) -> str:
    """Return the id of the experiment with this name, made or restored if need be.

    An experiment that exists keeps its own artifact location: it cannot be changed, and others may
    have files there. One that was deleted comes back, because MLflow reserves its name for ever.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        return _create(client, name, artifact_location)
    if found.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _create(client: MlflowClient, name: str, artifact_location: str | None) -> str:
    try:
        return str(client.create_experiment(name, artifact_location=artifact_location))
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another sweep may have been quicker
        if found is None:
            raise
        return str(found.experiment_id)


def tagged_runs(client: MlflowClient, experiment_id: str, tag: str, value: str) -> Iterator[Run]:
    """Yield every run of an experiment that carries this tag and was not deleted, oldest first."""
    token = None
    while True:
        page = client.search_runs(
            [experiment_id],
            filter_string=f"tags.`{tag}` = '{value}'",
            max_results=_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return
