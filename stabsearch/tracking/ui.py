"""What ``stabsearch ui`` starts: MLflow's pages on a sweep's store."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from stabsearch.config.address import without_password
from stabsearch.config.load import read_document
from stabsearch.errors import UserError
from stabsearch.tracking.store import (
    ARTIFACTS_NAME,
    DATABASE_NAME,
    NO_TRACKING,
    is_server,
    store_uri,
)

if TYPE_CHECKING:
    from pathlib import Path


def ui_command(folder: Path, port: int) -> list[str]:
    """Return the command that serves a sweep's runs on ``http://127.0.0.1:<port>``, and there only.

    Args:
        folder: the sweep's folder.
        port: where it listens.

    Raises:
        UserError: the sweep is not tracked, nothing was tracked yet, or it is on a tracking server,
            which has its own pages.

    The environment that :mod:`stabsearch.tracking` sets for this process is to be passed on.
    """
    uri = _store_of(folder)
    shown = ["--backend-store-uri", uri]
    if uri != without_password(uri):  # everybody on the machine can read a command
        os.environ["MLFLOW_BACKEND_STORE_URI"], shown = uri, []
    return [
        sys.executable, "-m", "mlflow", "server",
        "--host", "127.0.0.1",
        "--port", str(port),
        "--workers", "1",
        *shown,
        "--artifacts-destination", str((folder / ARTIFACTS_NAME).resolve()),
    ]  # fmt: skip


def _store_of(folder: Path) -> str:
    named = _named_uri(folder)
    if named == NO_TRACKING:
        raise UserError(f"{folder}: this sweep is not tracked", "its answer is in report.html")
    if named is not None and is_server(named):
        raise UserError(f"{folder}: this sweep is on a tracking server", f"open {without_password(named)}")
    uri = store_uri(named, folder)
    if named is None and not (folder / DATABASE_NAME).is_file():
        raise UserError(f"{folder}: no {DATABASE_NAME} here", "name the folder of a sweep that was run")
    return uri


def _named_uri(folder: Path) -> str | None:
    """Return ``tracking.uri`` as the sweep was run with, None when its own database was used."""
    resolved = folder / "sweep.resolved.yaml"
    if not resolved.is_file():
        return None
    tracking: Any = read_document(resolved).data.get("tracking")
    uri = tracking.get("uri") if isinstance(tracking, dict) else None
    return None if uri is None else str(uri)
