"""Durable storage of an Optuna study: a journal file, or a database by URL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalStorage

from stabsearch.config.address import in_full, without_password
from stabsearch.errors import UserError
from stabsearch.search.journal import WAY_OUT, Journal, check_last_line, cut_torn_line
from stabsearch.search.readable import UNREADABLE

JOURNAL = "study.journal"
SQLITE = "sqlite:///"
KEY = ("study", "storage")


def open_storage(folder: Path, url: str | None, *, is_writer: bool = True) -> BaseStorage:
    """Return the storage of a sweep; a writer holds the sweep's lock.

    Raises:
        UserError: the database cannot be reached, or the file cannot be read; nothing was changed then.
    """
    if url is None:
        return _open_journal(folder / JOURNAL, is_writer)
    if not is_writer:
        _check_holds_studies(url)
    try:
        return RDBStorage(in_full(url, KEY))
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - every database driver raises its own family
        reason = without_password((str(error).strip() or type(error).__name__).splitlines()[0])
        raise UserError(f"cannot open the study's database: {reason}",
                        "check the URL and that its driver is installed (pip install 'stabsearch[cluster]')",
                        key=KEY) from None  # fmt: skip


def _open_journal(path: Path, is_writer: bool) -> JournalStorage:
    """Return the storage of a journal, which is mended only once all of it could be read."""
    try:
        if path.exists() and not path.is_file():
            raise IsADirectoryError(21, "not a plain file")
        storage = _read_journal(path)
        if is_writer:
            check_last_line(path)
            cut_torn_line(path)
            # left by a process that was killed: Optuna would wait 30 s for it
            path.with_name(path.name + ".lock").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check the file and its rights") from None
    return storage


def _read_journal(path: Path) -> JournalStorage:
    journal = Journal(path)
    try:
        return JournalStorage(journal)
    except UNREADABLE as error:
        raise journal.damaged(error) from None


def database_file(url: str) -> Path | None:
    """Return the file of an SQLite database, None for any other.

    >>> database_file("sqlite:////data/study.db?timeout=30").name
    'study.db'
    """
    if not url.startswith(SQLITE):
        return None
    return Path(url.removeprefix(SQLITE).partition("?")[0])


def _check_holds_studies(url: str) -> None:
    """Raise for an SQLite file that holds no studies: opened to be read, it would be given tables.

    Raises:
        UserError: it is no database, or another program's.
    """
    path = database_file(url)
    if path is None:
        return
    try:
        database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
        try:
            tables = database.execute("select count(*) from sqlite_master where name = 'studies'").fetchone()[
                0
            ]
        finally:
            database.close()
    except sqlite3.OperationalError:
        return  # left by a process that was killed in mid-write: it is put right when it is opened
    except sqlite3.DatabaseError as error:
        raise UserError(f"the study in {path} is damaged: {error}", WAY_OUT) from None
    if not tables:
        raise UserError(f"{path} holds no study", "check study.storage in sweep.resolved.yaml")
