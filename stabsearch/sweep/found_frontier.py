"""A finished sweep's frontier, wherever it is kept: a folder, a file, or MLflow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from stabsearch.config import Sweep
from stabsearch.config.load import load_as_written
from stabsearch.errors import UserError
from stabsearch.frontier import Frontier
from stabsearch.frontier.answer import Verdict
from stabsearch.records.hyperparameters import HYPERPARAMETERS
from stabsearch.records.plain_json import read_json
from stabsearch.trial.temporary import temporary_folder

WHERE = (
    "give a sweep's folder or its frontier.json, the id of its MLflow run, or models:/NAME-frontier/VERSION"
)
_MOST_DECADES = 30  # chosen: learning rates of any training lie between 1e-30 and 1e30


@dataclass(frozen=True)
class StoredFrontier:
    """A frontier, and what is known of the sweep it came from."""

    place: str
    """As the user named it."""
    frontier: Frontier
    sweep: Sweep | None
    """None: only the frontier was kept."""
    verdict: Verdict | None
    horizon: int | None
    """Optimizer steps of its trials."""
    max_steps: int | None
    """Optimizer steps of the full run it was made for."""


def find_frontier(where: str, tracking_uri: str | None = None) -> StoredFrontier:
    """Return a finished sweep's frontier from a folder, a file or MLflow.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    path = Path(where)
    if _exists(path):
        file = path / "frontier.json" if path.is_dir() else path
        return _read_frontier(file, where)
    from stabsearch.tracking.stored_frontier import fetch_frontier, is_stored

    if not is_stored(where):
        raise UserError(f"no frontier at {where}", WHERE)
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        hint = "say it by --tracking-uri, or set MLFLOW_TRACKING_URI"
        raise UserError(f"{where} is in MLflow, and no store is named", hint)
    with temporary_folder() as scratch:
        fetch_frontier(where, uri, scratch)
        return _read_frontier(scratch / "frontier.json", where)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a null byte
        return False


def _read_frontier(file: Path, place: str) -> StoredFrontier:
    try:
        content = read_json(file)
        frontier = Frontier.from_json(content.get("frontier", content))  # beside a sweep's answer
        answer = content.get("answer") or {}
        verdict = Verdict(answer["verdict"]) if answer else None
        horizon, max_steps = (int(answer[key]) if answer else None for key in ("horizon", "max_steps"))
        _check(frontier)
    except OSError as error:
        hint = "`stabsearch report DIR` writes it from the study of a sweep that has run"
        raise UserError(f"no frontier to read at {place}: {error.strerror}", hint) from None
    except (ArithmeticError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{place} holds no frontier: {str(error).partition(chr(10))[0]}", WHERE) from None
    if verdict in {Verdict.CANARY_FAILED, Verdict.DATA_FAULT}:
        message = f"{place}: its sweep ended without a frontier ({verdict.value.replace('_', ' ')})"
        raise UserError(message, "mend what its report names, and run the sweep again")
    resolved = file.with_name("sweep.resolved.yaml")
    sweep = load_as_written(resolved).sweep if resolved.is_file() else None
    return StoredFrontier(place, frontier, sweep, verdict, horizon, max_steps)


def _check(frontier: Frontier) -> None:
    """Refuse numbers that no sweep writes: a grid over them would fill the memory.

    Raises:
        ValueError: what was found, one line.
    """
    low, high = frontier.learning_rate_range
    if not (10.0**-_MOST_DECADES <= low < high <= 10.0**_MOST_DECADES and 0.5 <= frontier.confidence < 1):
        raise ValueError("its range or its confidence is none")
    for trials in frontier.trials:
        for name, value in trials.context.settings.items():
            if not HYPERPARAMETERS[name].is_legal(value):
                raise ValueError(f"{name} {value!r}")
        for tally in trials.evidence:
            if not abs(tally.x) <= _MOST_DECADES or not all(0 <= count < 1e9 for count in tally.counts):
                raise ValueError(f"evidence at 10^{tally.x!r}")
