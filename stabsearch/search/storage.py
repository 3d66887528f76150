"""Durable storage of an Optuna study: a journal file, or a database by URL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalStorage
from sqlalchemy.exc import SQLAlchemyError

from stabsearch.config.address import in_full, without_password
from stabsearch.errors import UserError
from stabsearch.search.folder import RESOLVED
from stabsearch.search.journal import WAY_OUT, Journal, check_last_line, cut_torn_line
from stabsearch.search.readable import KEY, UNREADABLE, out_of_reach, reason_of_outage

JOURNAL = "study.journal"
SQLITE = "sqlite:///"


def open_storage(folder: Path, url: str | None, *, is_writer: bool = True) -> BaseStorage:
    """Return the storage of a sweep; a writer holds the sweep's lock.

    Raises:
        UserError: the database cannot be reached, or the file cannot be read; nothing was changed then.
    """
    if url is None:
        return _open_journal(folder / JOURNAL, is_writer)
    _check_tables(url, is_writer)
    try:
        return RDBStorage(in_full(url, KEY))
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - every database driver raises its own family
        reason = without_password((str(error).strip() or type(error).__name__).splitlines()[0])
        raise UserError(f"cannot open the study's database: {reason}",
                        "check the URL and that its driver is installed (pip install 'stabsearch[cluster]')",
                        key=KEY) from None  # fmt: skip


@contextmanager
def outage_is_said(url: str | None) -> Iterator[None]:
    """Turn the error of a database that went away, or is full, into what the user can do about it.

    Raises:
        UserError: what is stored is whole, and the same command goes on with it.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        reason = reason_of_outage(error)
        if url is None or not reason:
            raise
        raise out_of_reach(str(database_file(url) or without_password(url)), reason) from None


def _open_journal(path: Path, is_writer: bool) -> JournalStorage:
    """Return the storage of a journal, which is mended only once all of it could be read."""
    try:
        if path.exists() and not path.is_file():
            raise IsADirectoryError(21, "not a plain file")
        if (path.parent / RESOLVED).exists() and not (path.exists() and path.stat().st_size):
            raise UserError(f"{path} is empty or missing, and the sweep was begun",
                            "restore it from a backup, or remove the folder to start anew")  # fmt: skip
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

    >>> str(database_file("sqlite:////data/study.db?timeout=30"))
    '/data/study.db'
    >>> str(database_file("sqlite:///file:/data/study.db?uri=true"))
    '/data/study.db'
    """
    if not url.startswith(SQLITE):
        return None
    return Path(url.removeprefix(SQLITE).removeprefix("file:").partition("?")[0])


TABLES = frozenset({"studies", "study_user_attributes", "trials", "trial_user_attributes", "trial_params"})
"""What a sweep needs of the tables of Optuna."""
ONE_ROW = {
    "version_info": "select 1 from version_info limit 2",
    "alembic_version": "select 1 from alembic_version limit 2",
}
"""Tables of Optuna that hold one row each -> what asks for their rows."""


def _check_tables(url: str, is_writer: bool) -> None:
    """Raise for an SQLite file that lacks a part: Optuna, opening it, would put an empty one in its place.

    Raises:
        UserError: it is no database, another program's, or some of its tables have gone.
    """
    path = database_file(url)
    if path is None or not path.exists():
        return
    if not path.is_file():
        raise UserError(f"{path} is no plain file", WAY_OUT, key=KEY)
    try:
        there, rows = _look_inside(path)
    except sqlite3.OperationalError:
        return  # left by a process that was killed in mid-write: it is put right when it is opened
    except (sqlite3.DatabaseError, ValueError) as error:
        raise UserError(f"the study in {path} is damaged: {error}", WAY_OUT, key=KEY) from None
    if is_writer and not there & TABLES:
        return  # a database of the user's that gets its first study
    if rows != [1, 1]:
        missing = ", ".join(sorted(TABLES - there)) or "Optuna's version"
        raise UserError(f"the study in {path} is damaged: it lacks {missing}", WAY_OUT, key=KEY)


def _look_inside(path: Path) -> tuple[set[str], list[int]]:
    """Return the tables of an SQLite file, and the rows of those that hold one, where all are there."""
    with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as database:
        there = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
        if not there.issuperset(TABLES.union(ONE_ROW)):
            return there, []
        return there, [len(database.execute(query).fetchall()) for query in ONE_ROW.values()]
