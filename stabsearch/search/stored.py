"""What a study holds, for reading: needs no lock, and writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import TrialState

from stabsearch.config.load import read_document
from stabsearch.errors import UserError
from stabsearch.records import TrialPlan, TrialRecord
from stabsearch.search.attributes import (
    END,
    LOSSES,
    NODE_LOSSES,
    PLAN,
    RECORD,
    STARTS,
    SWEEP,
    SWEEP_ID,
    VOID,
)
from stabsearch.search.folder import RESOLVED
from stabsearch.search.journal import WAY_OUT
from stabsearch.search.readable import SWEEP_ID_FORM, attribute_of, plan_of, readable, record_of, trials_of
from stabsearch.search.storage import JOURNAL, database_file, open_storage

__all__ = [
    "END", "LOSSES", "NODE_LOSSES", "PLAN", "RECORD", "STARTS", "STUDY_NAME", "SWEEP", "SWEEP_ID", "VOID",
    "checked_sweep", "end_in", "read_study", "records_in", "study_name", "sweep_id_in", "sweep_in",
    "unfinished_in",
]  # fmt: skip
STUDY_NAME = "stabsearch"


def records_in(study: Study) -> list[TrialRecord]:
    """Return one record per finished trial as its worker told it, in trial order.

    Raises:
        UserError: the study is damaged; names the trial, and the line of a journal.
    """
    return [record_of(study, trial) for trial in trials_of(study) if RECORD in trial.user_attrs]


def unfinished_in(study: Study) -> list[TrialPlan]:
    """Return the plans that have been asked for and not told, in trial order.

    Raises:
        UserError: the study is damaged; names the trial, and the line of a journal.
    """
    running = [trial for trial in trials_of(study) if trial.state is TrialState.RUNNING]
    return [
        plan_of(study, trial)
        for trial in running
        if PLAN in trial.user_attrs and RECORD not in trial.user_attrs
    ]


def sweep_in(study: Study) -> dict[str, Any]:
    """Return the sweep that the study was made for, as it was stored.

    Raises:
        UserError: that part of the study is damaged.
    """
    stored: dict[str, Any] = attribute_of(study, SWEEP, dict)
    return stored


def sweep_id_in(study: Study) -> str:
    """Return the identity of the sweep, made once.

    Raises:
        UserError: that part of the study is damaged.
    """
    return str(attribute_of(study, SWEEP_ID, SWEEP_ID_FORM))


def end_in(study: Study) -> str:
    """Return how the last run of the sweep ended: FINISHED, FAILED, or KILLED where it could not say."""
    return str(study.user_attrs.get(END) or "KILLED")


def read_study(folder: Path) -> Study:
    """Return the study of a sweep's folder for reading, also while a driver is at work there.

    Raises:
        UserError: the folder holds no sweep, or its study cannot be read.
    """
    url, name = study_place(folder)
    if not _is_there(folder, url):
        raise _no_sweep(folder)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = open_storage(folder, url, is_writer=False)
    with readable(str(folder)):
        try:
            study = optuna.load_study(study_name=name, storage=storage)
        except KeyError:
            raise _no_sweep(folder) from None
        if SWEEP not in study.user_attrs:
            raise _no_sweep(folder)
    return study


def checked_sweep(storage: BaseStorage, name: str) -> dict[str, Any] | None:
    """Return the sweep that a study was made for, None for a new study; all of it is read, nothing written.

    Raises:
        UserError: the study is damaged.
    """
    with readable(name):
        try:
            study = optuna.load_study(study_name=name, storage=storage)
        except KeyError:
            return None
        attributes = study.user_attrs
    records_in(study)
    unfinished_in(study)
    if SWEEP_ID in attributes:
        sweep_id_in(study)
    return sweep_in(study) if SWEEP in attributes else None


def study_name(sweep: str, url: str | None) -> str:
    """Return the name of a sweep's study: a database may hold the studies of many sweeps."""
    return STUDY_NAME if url is None else f"{STUDY_NAME}/{sweep}"


def study_place(folder: Path) -> tuple[str | None, str]:
    """Return the study's database, None for the journal file, and its name there."""
    resolved = folder / RESOLVED
    if resolved.exists() and not resolved.is_file():
        raise UserError(f"{resolved} is no plain file", WAY_OUT)
    if not resolved.exists():
        return None, STUDY_NAME  # the journal says everything by itself
    content = read_document(resolved).data
    study, name = content.get("study"), content.get("name")
    url = study.get("storage") if isinstance(study, dict) else None
    if not isinstance(name, str) or not isinstance(url, str | None):
        raise UserError(f"{resolved}: damaged: it does not say where the study is", WAY_OUT)
    return url, study_name(name, url)


def _is_there(folder: Path, url: str | None) -> bool:
    """Return whether there is something to read: opening a file that is not there would make it."""
    if url is None:
        return (folder / JOURNAL).exists()
    file = database_file(url)
    return file is None or file.exists()


def _no_sweep(folder: Path) -> UserError:
    return UserError(
        f"{folder} holds no sweep", "give the folder of a sweep that was run: <output_dir>/<name>"
    )
