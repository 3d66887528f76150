"""Durable storage of an Optuna study: a journal file, or a database by URL."""

from __future__ import annotations

import os
from pathlib import Path

from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage

from stabsearch.errors import UserError

JOURNAL = "study.journal"


def open_storage(folder: Path, url: str | None, *, is_writer: bool = True) -> BaseStorage:
    """Return the storage of a sweep; a writer holds the sweep's lock.

    Raises:
        UserError: the database cannot be reached, or the file cannot be written.
    """
    if url is None:
        path = folder / JOURNAL
        if is_writer:
            _mend(path)
        return JournalStorage(JournalFileBackend(str(path)))
    try:
        return RDBStorage(url)
    except Exception as error:  # noqa: BLE001 - every database driver raises its own family
        reason = str(error).splitlines()[0]
        raise UserError(f"cannot open the study's database: {reason}",
                        "check the URL and that its driver is installed (pip install 'stabsearch[cluster]')",
                        key=("study", "storage")) from None  # fmt: skip


def _mend(path: Path) -> None:
    """Cut a half-written last line, and remove the lock of a process that was killed.

    Optuna's journal cannot be read on once a line is torn, and waits 30 s for a stale lock.
    """
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
