"""The journal file of a study: read line by line with suspicion, so that damage is named with its line."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from stabsearch.errors import UserError

CREATE_STUDY, SET_STUDY_ATTR, CREATE_TRIAL, SET_TRIAL_ATTR = 0, 2, 4, 8
_OF_TRIAL = frozenset({5, 6, 7, 8, 9})
_KNOWN = frozenset({CREATE_STUDY, SET_STUDY_ATTR, 3, CREATE_TRIAL, *_OF_TRIAL})
"""Operations of Optuna's journal that a sweep writes."""
WAY_OUT = "restore it from a backup, or start anew under another name; nothing was changed"


class Journal(JournalFileBackend):  # type: ignore[misc]
    """Optuna's journal file, each line looked at before it counts.

    Optuna passes over an operation on a trial that it does not know: in a journal with one writer, that is a
    line that went missing, and all later trials would be taken for others.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path
        self.line = 0
        """1-based line that was read last."""
        self._num_trials = 0

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the operations from a number on.

        Raises:
            UserError: a line cannot be read, or does not fit those above; names it.
        """
        self.line = log_number_from
        if not log_number_from:
            self._num_trials = 0
        logs: Iterator[Any] = super().read_logs(log_number_from)
        while True:
            try:
                log = next(logs)
            except StopIteration:
                return
            except (ValueError, RecursionError):
                raise damaged_line(self.path, self.line + 1, "it is no operation of a study") from None
            self.line += 1
            self._check(log)
            yield log

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append operations, all or none: to half a line, left by a full disk, the next would be joined."""
        size = self.path.stat().st_size
        try:
            super().append_logs(logs)
        except BaseException:
            os.truncate(self.path, size)
            raise

    def damaged(self, error: Exception) -> UserError:
        """Return the error of the line that was read last, which Optuna could make nothing of."""
        return damaged_line(self.path, self.line, f"Optuna says {type(error).__name__}: {_first(error)}")

    def _check(self, log: Any) -> None:
        kind = log.get("op_code") if isinstance(log, dict) else None
        if type(kind) is not int or kind not in _KNOWN or not isinstance(log.get("worker_id"), str):
            raise damaged_line(self.path, self.line, "it is no operation of a study")
        if kind == CREATE_TRIAL:
            self._num_trials += 1
        elif kind in _OF_TRIAL:
            trial = log.get("trial_id")
            if type(trial) is not int or not 0 <= trial < self._num_trials:
                raise damaged_line(self.path, self.line, f"it is about trial {trial!r}, which no line makes")


def damaged_line(path: Path, line: int, why: str) -> UserError:
    """Return the error of a line that cannot be read."""
    return UserError(f"{path}:{line}: damaged: {why[:200]}", WAY_OUT)


def line_of(path: Path, key: str, trial: int | None = None) -> int:
    """Return the last line that says something of the study, or of a trial; 0 when none does."""
    found = 0
    with path.open("rb") as file:
        for line, content in enumerate(file, start=1):
            if key.encode() in content and _says(content, key, trial):
                found = line
    return found


def _says(content: bytes, key: str, trial: int | None) -> bool:
    try:
        log = json.loads(content)
    except (ValueError, RecursionError):
        return False
    wanted = SET_STUDY_ATTR if trial is None else SET_TRIAL_ATTR
    is_meant = log.get("op_code") == wanted and log.get("trial_id") == trial
    return is_meant and key in (log.get("user_attr") or ())


def check_last_line(path: Path) -> None:
    """Raise when the last whole line of a journal is none: Optuna reads past it until more is written.

    Raises:
        UserError: it names the line.
    """
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    last = content[content.rfind(b"\n", 0, whole - 1) + 1 : whole]
    try:
        json.loads(last or b"{}")
    except (ValueError, RecursionError):
        line = content.count(b"\n")
        raise damaged_line(path, line, "it is no operation of a study") from None


def cut_torn_line(path: Path) -> None:
    """Cut a half-written last line: Optuna's journal cannot be read on once more is written after it."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _first(error: Exception) -> str:
    return (str(error).strip() or "no message").partition("\n")[0]
