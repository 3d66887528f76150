"""What a study holds, for reading: needs no lock, and writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.study import Study
from optuna.trial import TrialState

from stabsearch.errors import UserError
from stabsearch.records import TrialPlan, TrialRecord
from stabsearch.records.record import plan_from_json
from stabsearch.search.folder import RESOLVED
from stabsearch.search.storage import JOURNAL, open_storage

STUDY_NAME = "stabsearch"
PLAN, RECORD, STARTS = "stabsearch.plan", "stabsearch.record", "stabsearch.starts"
LOSSES, NODE_LOSSES = "stabsearch.losses", "stabsearch.node_losses"
SQLITE = "sqlite:///"
SWEEP_ID, SWEEP = "stabsearch.sweep_id", "stabsearch.sweep"


def records_in(study: Study) -> list[TrialRecord]:
    """Return one record per finished trial as its worker told it, in trial order."""
    trials = study.get_trials(deepcopy=False)
    return [TrialRecord.from_json(trial.user_attrs[RECORD]) for trial in trials if RECORD in trial.user_attrs]


def unfinished_in(study: Study) -> list[TrialPlan]:
    """Return the plans that have been asked for and not told, in trial order."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [
        plan_from_json(t.user_attrs[PLAN])
        for t in running
        if PLAN in t.user_attrs and RECORD not in t.user_attrs
    ]


def sweep_in(study: Study) -> dict[str, Any]:
    """Return the sweep that the study was made for, as it was stored."""
    stored: dict[str, Any] = study.user_attrs[SWEEP]
    return stored


def read_study(folder: Path) -> Study:
    """Return the study of a sweep's folder for reading, also while a driver is at work there.

    Raises:
        UserError: the folder holds no sweep, or its study cannot be read.
    """
    url, name = _place(folder)
    if not _is_there(folder, url):
        raise _no_sweep(folder)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.load_study(study_name=name, storage=open_storage(folder, url, is_writer=False))
    except KeyError:
        raise _no_sweep(folder) from None
    if SWEEP not in study.user_attrs:
        raise _no_sweep(folder)
    return study


def study_name(sweep: str, url: str | None) -> str:
    """Return the name of a sweep's study: a database may hold the studies of many sweeps."""
    return STUDY_NAME if url is None else f"{STUDY_NAME}/{sweep}"


def _place(folder: Path) -> tuple[str | None, str]:
    """Return the study's database, None for the journal file, and its name there."""
    resolved = folder / RESOLVED
    if not resolved.is_file():
        return None, STUDY_NAME  # the journal says everything by itself
    content = yaml.safe_load(resolved.read_text(encoding="utf-8"))
    url: str | None = content.get("study", {}).get("storage")
    return url, study_name(content["name"], url)


def _is_there(folder: Path, url: str | None) -> bool:
    """Return whether there is something to read: opening a file that is not there would make it."""
    if url is None:
        return (folder / JOURNAL).exists()
    return not url.startswith(SQLITE) or Path(url.removeprefix(SQLITE)).exists()


def _no_sweep(folder: Path) -> UserError:
    return UserError(
        f"{folder} holds no sweep", "give the folder of a sweep that was run: <output_dir>/<name>"
    )
