"""Durable storage after crashes, and reading it without leaving a trace."""

from __future__ import annotations

import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest
from campaign_samples import study_of, sweep_of
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from stabsearch.errors import UserError
from stabsearch.search.folder import LOCK, SweepFolder, is_locked
from stabsearch.search.readable import readable
from stabsearch.search.storage import JOURNAL, open_storage
from stabsearch.search.stored import read_study, records_in, sweep_in, unfinished_in
from stabsearch.testing.records import record_of


def begun(folder: Path, num_done: int = 2) -> Path:
    """Write a study with finished trials and one in flight; return its journal."""
    study = study_of(sweep_of(), open_storage(folder, None))
    study.keep_sweep({"what": "a sweep"})
    for _ in range(num_done):
        study.tell(record_of(study.ask()))
    study.ask()
    return folder / JOURNAL


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@settings(max_examples=25)
@given(st.data())
def test_a_torn_last_line_is_cut_and_the_rest_stays(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Killed in the middle of a write: what was whole is whole, and the study goes on."""
    folder = tmp_path_factory.mktemp("torn")
    journal = begun(folder)
    content = journal.read_bytes()
    last = content[:-1].rfind(b"\n") + 1
    journal.write_bytes(content[: data.draw(st.integers(last + 1, len(content) - 1))])
    study = study_of(sweep_of(), open_storage(folder, None))
    assert len(study.records) == 2
    assert journal.read_bytes().startswith(content[:last])
    study.tell(record_of(study.ask()))
    assert len(study_of(sweep_of(), open_storage(folder, None)).records) == 3


def test_any_prefix_of_a_journal_is_a_study(tmp_path: Path) -> None:
    """Wherever the process was killed, opening it again leaves nothing RUNNING without a plan."""
    content = begun(tmp_path).read_bytes()
    lines = content.splitlines(keepends=True)
    for count in range(len(lines) + 1):
        (tmp_path / JOURNAL).write_bytes(b"".join(lines[:count]))
        study = study_of(sweep_of(), open_storage(tmp_path, None))
        left = study.unfinished()
        for plan in left:
            study.tell(record_of(plan))
        assert study.unfinished() == []
        assert len(study.records) >= len(left)


def test_a_lock_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    """Optuna would wait half a minute for it: the sweep's own lock says that nobody else writes."""
    journal = begun(tmp_path)
    journal.with_name(journal.name + ".lock").symlink_to(journal)
    storage = open_storage(tmp_path, None)
    assert not journal.with_name(journal.name + ".lock").is_symlink()
    study = study_of(sweep_of(), storage)
    study.tell(record_of(study.ask()))


def test_a_new_folder_gets_a_journal(tmp_path: Path) -> None:
    """Nothing to mend is no error."""
    study_of(sweep_of(), open_storage(tmp_path, None))
    assert (tmp_path / JOURNAL).stat().st_size > 0


def test_a_database_that_cannot_be_opened_is_the_users_to_put_right() -> None:
    """Two lines with the place in the sweep; no traceback of a driver."""
    with pytest.raises(UserError, match="cannot open the study's database") as caught:
        open_storage(Path(), "sqlite:////no/such/folder/study.db")
    assert caught.value.key == ("study", "storage")


def test_reading_writes_nothing(tmp_path: Path) -> None:
    """Not a byte, also where a trial without a plan or a torn line waits to be put right by a writer."""
    journal = begun(tmp_path)
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    journal.with_name(journal.name + ".lock").touch()
    before = snapshot(tmp_path)
    study = read_study(tmp_path)
    assert len(records_in(study)) == 2
    assert len(unfinished_in(study)) == 1
    assert sweep_in(study) == {"what": "a sweep"}
    assert snapshot(tmp_path) == before


def test_reading_works_while_a_driver_is_at_work(tmp_path: Path) -> None:
    """Another process holds the folder and writes on; the reader sees what is there now."""
    sweep = sweep_of(output_dir=str(tmp_path))
    folder = SweepFolder(sweep)
    with folder.locked() as path:
        study = study_of(sweep, open_storage(path, None))
        study.keep_sweep({})
        for expected in range(3):
            assert len(records_in(read_study(path))) == expected
            study.tell(record_of(study.ask()))
        assert _in_another_process(path) == "True 3"
    assert _in_another_process(path) == "False 3"
    assert (path / LOCK).exists()


def _in_another_process(path: Path) -> str:
    program = (
        "import sys; from pathlib import Path; from stabsearch.search.folder import is_locked;"
        "from stabsearch.search.stored import read_study, records_in;"
        "path = Path(sys.argv[1]); print(is_locked(path), len(records_in(read_study(path))))"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_folder_without_a_sweep_is_said_to_be_none(tmp_path: Path) -> None:
    """Empty, missing, or begun and killed before the sweep was stored: nothing is made of it."""
    empty, begun_only = tmp_path / "empty", tmp_path / "begun"
    empty.mkdir()
    begun_only.mkdir()
    study_of(sweep_of(), open_storage(begun_only, None))
    for folder in (empty, tmp_path / "missing", begun_only):
        with pytest.raises(UserError, match="holds no sweep"):
            read_study(folder)
    assert list(empty.iterdir()) == []
    assert not is_locked(empty)


def test_reading_a_database_that_is_gone_does_not_make_a_new_one(tmp_path: Path) -> None:
    """An empty database in its place would hide what happened."""
    url = f"sqlite:///{tmp_path / 'gone.db'}"
    (tmp_path / "sweep.resolved.yaml").write_text(f"name: test\nstudy: {{storage: '{url}'}}\n")
    with pytest.raises(UserError, match="holds no sweep"):
        read_study(tmp_path)
    assert not (tmp_path / "gone.db").exists()


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (psycopg2.OperationalError("server closed the connection unexpectedly\n\tThis probably"), "reached"),
        (sqlite3.OperationalError("database or disk is full"), "reached"),
        (sqlite3.OperationalError("no such table: trials"), "damaged"),
        (sqlite3.DatabaseError("database disk image is malformed"), "damaged"),
    ],
)
def test_a_database_that_is_away_is_not_called_damaged(said: Exception, word: str) -> None:
    """What can be put right by waiting is told from what needs a backup."""
    kind = OperationalError if isinstance(said, sqlite3.OperationalError | psycopg2.Error) else DatabaseError
    with pytest.raises(UserError) as caught, readable("here"):  # noqa: PT012
        try:
            raise kind("select 1", {}, said)
        except SQLAlchemyError as error:
            raise StorageInternalError("An exception is raised during the commit") from error
    assert word in caught.value.message
    assert "\n" not in caught.value.message


def test_half_a_line_is_taken_back(tmp_path: Path) -> None:
    """A disk that is full for an instant only: what is written next stands on a line of its own."""
    study = study_of(sweep_of(), open_storage(tmp_path, None))
    study.keep_sweep({"what": "a sweep"})
    size = (tmp_path / JOURNAL).stat().st_size
    limit, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limit[1]))
        with pytest.raises(OSError, match="File too large"):
            study.keep_end("FAILED")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / JOURNAL).stat().st_size == size
    study.keep_end("KILLED")
    assert read_study(tmp_path).user_attrs["stabsearch.end"] == "KILLED"
