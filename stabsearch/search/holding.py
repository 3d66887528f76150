"""One driver for a study in a database, whatever folders and hosts its drivers have."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from stabsearch.config.address import in_full
from stabsearch.search.folder import held, in_use, own_file, whoami
from stabsearch.search.readable import KEY
from stabsearch.search.storage import database_file

OURS = 0x57AB  # of the two numbers of a lock of Postgres, the one that says whose it is
OWNER = """
select application_name from pg_stat_activity join pg_locks using (pid)
where locktype = 'advisory' and granted and classid = :ours and objid = :study
"""


@contextmanager
def study_held(url: str | None, name: str) -> Iterator[None]:
    """Hold a study for this process; neither a dead process nor a lost connection holds it.

    Postgres keeps the lock itself. For SQLite it is a file beside the database, for a journal the lock of the
    sweep's folder is enough. Other databases have none.

    Args:
        url: of the study's database; None: a journal.
        name: of the study.

    Raises:
        UserError: another driver is at work on it; names its process and host.
    """
    if url is None or not (url.startswith("postgres") or database_file(url)):
        yield
    elif (file := database_file(url)) is not None:
        try:
            lock = own_file(file.with_name(f".{file.name}.{zlib.crc32(name.encode()):08x}.lock"))
        except OSError:  # no such folder, or no right to write there: opening the database says so
            yield
            return
        with held(lock, f"the study {name} in {file}"):
            yield
    else:
        with _held_by_postgres(url, name):
            yield


@contextmanager
def _held_by_postgres(url: str, name: str) -> Iterator[None]:
    key = {"ours": OURS, "study": zlib.crc32(name.encode()) >> 1}  # which fits 31 bits
    address = in_full(url, KEY)
    try:
        engine = create_engine(address, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        connection: Any = engine.connect()
    except (SQLAlchemyError, ImportError):  # opening the study says what is wrong
        yield
        return
    with closing(connection):
        connection.execute(text("select set_config('application_name', :name, false)"), {"name": whoami()})
        if not connection.execute(text("select pg_try_advisory_lock(:ours, :study)"), key).scalar():
            owner = connection.execute(text(OWNER), key).scalar()
            raise in_use(f"the study {name} in the database", owner or "")
        yield
