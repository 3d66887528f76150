"""Plans, records and the rest of a stored study as what they are, or the error that says what is damaged."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from optuna.exceptions import OptunaError, StorageInternalError
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from stabsearch.config.address import without_password
from stabsearch.errors import UserError, one_line
from stabsearch.records import StepTrace, TrialPlan, TrialRecord
from stabsearch.records.record import plan_from_json
from stabsearch.search.attributes import LOSSES, NODE_LOSSES, PLAN, RECORD, STARTS, VOID
from stabsearch.search.fits import check_fields
from stabsearch.search.journal import WAY_OUT, Journal, damaged_line, line_of

COUNTS = (STARTS, LOSSES, NODE_LOSSES)
UNREADABLE = (
    OptunaError, SQLAlchemyError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    ArithmeticError, RecursionError,
)  # fmt: skip
"""What comes of data that somebody, or a failing disk, has changed."""
FILE_OUTAGES = {"database or disk is full", "disk I/O error", "attempt to write a readonly database",
                "unable to open database file", "database is locked"}  # fmt: skip
"""What SQLite says of a file that it cannot use now, whatever is in it."""
BUNDLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}|")
SWEEP_ID_FORM = re.compile(r"[0-9a-f]{32}")
KEY = ("study", "storage")
MOST = 2**53  # chosen: whole numbers beyond it are not exact as floats, and no count comes near


@contextmanager
def readable(place: str) -> Iterator[None]:
    """Turn what goes wrong while a study is read into an error that names it.

    Raises:
        UserError: the study is damaged.
    """
    try:
        yield
    except UNREADABLE as error:
        if reason := reason_of_outage(error):
            raise out_of_reach(place, reason) from None
        raise UserError(f"the study in {place} is damaged: {_said(error)}", WAY_OUT) from None


def reason_of_outage(error: BaseException) -> str:
    """Return what a database said that is away or full; empty for any other error.

    What is in such a study is not to blame, so it is not called damaged.
    """
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if not isinstance(cause, OperationalError | InterfaceError):
        return ""
    said = str(cause.orig).strip().partition("\n")[0]
    is_file = isinstance(cause.orig, sqlite3.Error)
    return said if not is_file or said in FILE_OUTAGES else ""


def out_of_reach(place: str, reason: str) -> UserError:
    """Return the error of a study whose database went away, or is full: nothing of it is lost."""
    message = f"the study in {place} cannot be reached: {without_password(reason)}"
    return UserError(
        message, "put that right; the same command goes on where it stopped", key=("study", "storage")
    )


def trials_of(study: Study) -> list[FrozenTrial]:
    """Return the trials of a study, in order.

    Raises:
        UserError: one does not fit what a sweep writes; names it.
    """
    with readable(place_of(study)):
        trials: list[FrozenTrial] = study.get_trials(deepcopy=False)
    for trial in trials:
        try:
            _check_trial(trial)
        except UNREADABLE as error:
            raise _damaged(study, trial.number, PLAN, error) from None
    return trials


def _check_trial(trial: FrozenTrial) -> None:
    """Raise for a trial that cannot have come about: one of its lines has gone, or was changed."""
    attrs = trial.user_attrs
    if VOID in attrs:
        return
    _check_params(trial)
    if trial.state.is_finished() and RECORD not in attrs and VOID not in attrs:
        raise ValueError("it has ended and has no record")
    if PLAN not in attrs and RECORD in attrs:
        raise ValueError("it has a record and no plan")
    for name in COUNTS:
        if not _is_count(attrs.get(name, 0)):
            raise ValueError(f"{name} is {attrs[name]!r}")
    if trial.state is TrialState.COMPLETE and not all(map(_is_finite, trial.values or [None])):
        raise ValueError(f"its values are {trial.values!r}")


def _check_params(trial: FrozenTrial) -> None:
    if trial.params.keys() != trial.distributions.keys():
        raise ValueError("its parameters are not those that it has distributions of")
    for name, distribution in trial.distributions.items():
        if not distribution._contains(distribution.to_internal_repr(trial.params[name])):
            raise ValueError(f"its {name} lies outside of what is searched")


def plan_of(study: Study, trial: FrozenTrial) -> TrialPlan:
    """Return the plan of a trial.

    Raises:
        UserError: it is none, or another trial's.
    """
    try:
        plan = plan_from_json(trial.user_attrs[PLAN])
        _check_plan(plan, trial.number)
    except UNREADABLE as error:
        raise _damaged(study, trial.number, PLAN, error) from None
    return plan


def record_of(study: Study, trial: FrozenTrial) -> TrialRecord:
    """Return the record of a trial; its message is put on one line that no terminal takes for commands.

    Raises:
        UserError: it is none, of another version, or does not fit the trial's plan.
    """
    try:
        record = TrialRecord.from_json(trial.user_attrs[RECORD])
        _check_record(record)
        _check_plan(record.plan, trial.number)
        if record.plan != plan_from_json(trial.user_attrs[PLAN]):
            raise ValueError("its plan is not the one that was asked for")
    except UNREADABLE as error:
        raise _damaged(study, trial.number, RECORD, error) from None
    return record if record.message.isprintable() else replace(record, message=one_line(record.message))


def attribute_of(study: Study, key: str, kind: type | re.Pattern[str]) -> Any:
    """Return an attribute of the study itself.

    Raises:
        UserError: it is of another kind, or a text of another form.
    """
    with readable(place_of(study)):
        value = study.user_attrs[key]
    fits = (
        isinstance(value, kind)
        if isinstance(kind, type)
        else isinstance(value, str) and kind.fullmatch(value)
    )
    if not fits:
        raise damaged_part(study, key, f"{key} is {str(value)[:60]!r}")
    return value


def damaged_part(study: Study, key: str, why: str, trial: int | None = None) -> UserError:
    """Return the error of a part of a study that cannot be read, with its line where it is in a journal."""
    journal = _journal(study)
    whose = "" if trial is None else f"trial {trial}: "
    if journal is None:
        return UserError(f"the study in {place_of(study)} is damaged: {whose}{why[:200]}", WAY_OUT)
    return damaged_line(journal.path, line_of(journal.path, key, trial), f"{whose}{why}")


def place_of(study: Study) -> str:
    """Return where a study is, for people."""
    journal = _journal(study)
    return f"the database, {study.study_name}" if journal is None else str(journal.path)


def _journal(study: Study) -> Journal | None:
    backend = getattr(study._storage, "_backend", None)
    return backend if isinstance(backend, Journal) else None


def _damaged(study: Study, trial: int, key: str, error: BaseException) -> UserError:
    return damaged_part(study, key, _said(error), trial)


def _check_plan(plan: TrialPlan, number: int) -> None:
    """Raise for a plan that no sweep makes."""
    check_fields(plan)
    if plan.number != number:
        raise ValueError(f"it holds the plan of trial {plan.number}")
    rates = [rate for rate in (plan.learning_rate, plan.ramp_from, plan.confirms) if rate is not None]
    if not all(0 < rate < math.inf for rate in rates) or not 0 <= plan.max_grad_norm < math.inf:
        raise ValueError("a learning rate or clip norm is out of range")
    if not 0 < plan.horizon < MOST or not 0 <= plan.warmup_steps < MOST:
        raise ValueError(f"horizon {plan.horizon}, warmup {plan.warmup_steps}")


def _check_record(record: TrialRecord) -> None:
    """Raise for a record that no worker writes."""
    check_fields(record)
    if BUNDLE_NAME.fullmatch(record.bundle) is None:
        raise ValueError(f"{record.bundle!r} is no name of a bundle")
    counts = (record.steps, record.skipped_steps, record.attempts, *record.suspect_rows)
    if not all(map(_is_count, counts)):
        raise ValueError("a count is out of range")
    _check_trace(record.trace)


def _check_trace(trace: StepTrace) -> None:
    steps = trace.steps
    if not len(steps) == len(trace.losses) == len(trace.grad_norms):
        raise ValueError("its curves have different lengths")
    if any(after <= before for before, after in zip((0, *steps), (*steps, MOST), strict=True)):
        raise ValueError("the steps of its curves do not ascend")


def _is_finite(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST


def _said(error: BaseException) -> str:
    """Return an error on one line."""
    name = "" if type(error) is ValueError else f"{type(error).__name__}: "
    return one_line(f"{name}{(str(error).strip() or 'no message').partition(chr(10))[0]}"[:200])
