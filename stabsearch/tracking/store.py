"""Where a sweep is tracked, as plain strings."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from stabsearch.config.address import in_full, without_password
from stabsearch.errors import UserError

NO_TRACKING = "none"
DATABASE_NAME = "mlflow.db"
ARTIFACTS_NAME = "mlartifacts"

_SQLITE = "sqlite:///"
_KEY = ("tracking", "uri")
_DEFAULT_HINT = (
    "start or correct it; tracking.required: false delivers later; without tracking.uri the sweep keeps "
    "its own mlflow.db"
)


def store_uri(uri: str | None, folder: Path) -> str:
    """Return the store's address: the one named, else the SQLite file in the sweep's folder.

    A relative SQLite path starts at the current folder and is made absolute here, because
    ``stabsearch ui`` may be called from another one.
    """
    if uri is None:
        return f"{_SQLITE}{(folder / DATABASE_NAME).resolve()}"
    if uri.startswith(_SQLITE):
        return f"{_SQLITE}{Path(uri.removeprefix(_SQLITE)).resolve()}"
    return in_full(uri, _KEY).rstrip("/")


def artifact_location(uri: str, folder: Path) -> str | None:
    """Return where a new experiment keeps its files, None when the server decides.

    Without one, MLflow's database stores write to ``./mlruns``, wherever the process happens to run.
    """
    if is_server(uri):
        return None
    home = Path(uri.removeprefix(_SQLITE)).parent if uri.startswith(_SQLITE) else folder
    return (home / ARTIFACTS_NAME).resolve().as_uri()


def is_server(uri: str) -> bool:
    """True when the store is reached through a tracking server, not as a database."""
    return urlsplit(uri).scheme in {"http", "https"} or uri.startswith("databricks")


def run_url(uri: str, experiment_id: str, run_id: str) -> str:
    """Return where people look at a run: its page on a server, else the store itself."""
    if not is_server(uri):
        return without_password(uri)
    return f"{without_password(uri)}/#/experiments/{experiment_id}/runs/{run_id}"


def refuse_unusable(uri: str) -> None:
    """Return when MLflow can work with an address of this form.

    Raises:
        UserError: a folder (MLflow 3.7 and later refuse it), or SQLite in a folder that does not exist.
    """
    if uri.startswith("file:") or ("://" not in uri and not uri.startswith("databricks")):
        raise UserError(
            f"MLflow no longer keeps runs in a plain folder: {uri!r}",
            "name a database instead, for example sqlite:///mlflow.db, or leave tracking.uri out",
            key=_KEY,
        )
    home = Path(uri.removeprefix(_SQLITE)).parent
    if uri.startswith(_SQLITE) and not home.is_dir():
        raise UserError(f"no such folder for the tracking database: {home}", _DEFAULT_HINT, key=_KEY)


def unreachable(uri: str, reason: str) -> UserError:
    """Return the error of a store that was named and does not answer."""
    return UserError(
        f"the tracking store {without_password(uri)} cannot be used: {without_password(reason)}",
        _DEFAULT_HINT,
        key=_KEY,
    )
