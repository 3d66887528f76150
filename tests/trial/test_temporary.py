"""Temporary folders whose process was killed."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from trial_samples import plan, setup

from stabsearch.records import Outcome
from stabsearch.testing.faulty_task import FaultyTask, build_faulty
from stabsearch.trial.run import run_trial
from stabsearch.trial.temporary import LOCK, temporary_folder

HOLDS = """
import sys
from stabsearch.trial.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "left").write_text("by a worker")
    print(folder, flush=True)
    sys.stdin.read()
"""

WRITES = """
import pathlib, sys
while True:
    (pathlib.Path(sys.argv[1]) / "late").mkdir(parents=True, exist_ok=True)
"""

TRAINS = """
import sys
from trial_samples import plan, setup
from stabsearch.testing.faulty_task import FaultyTask, build_faulty
from stabsearch.trial.run import run_trial
run_trial(plan(), build_faulty(FaultyTask(sys.argv[1], ((1, "kill"),))), setup())
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_run_left_goes_with_the_next_and_that_of_a_living_one_stays(home: Path) -> None:
    """A folder is abandoned once nobody holds its lock, however its process ended."""
    command = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        with temporary_folder():
            assert (held / "left").exists()
        process.kill()
    assert held.exists()
    with temporary_folder():
        assert not held.exists()


def test_processes_that_a_killed_run_left_are_ended_before_they_make_its_folder_anew(home: Path) -> None:
    """As Ray's workers do that were just starting; those of others go on."""
    command = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        process.kill()
    writes = [sys.executable, "-c", WRITES, str(held)]
    left = subprocess.Popen(writes, env={**os.environ, "TMPDIR": str(held)})
    other = subprocess.Popen([*writes[:-1], str(home / "other")])
    try:
        while not (held / "late").exists() or not (home / "other").exists():
            assert left.poll() is None
        with temporary_folder():
            assert left.wait(10) == -9
            assert not held.exists()
            assert other.poll() is None
    finally:
        for each in (left, other):
            each.kill()
            each.wait()


def test_only_own_folders_are_touched(home: Path) -> None:
    """One without a lock is somebody's that is just being made, or no scratch folder at all."""
    (home / "stabsearch-notes").mkdir()
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    (elsewhere / "kept").touch()
    (home / "stabsearch-link").symlink_to(elsewhere)
    with temporary_folder():
        assert {"stabsearch-notes", "stabsearch-link"} <= {path.name for path in home.iterdir()}
        assert (elsewhere / "kept").exists()


def test_what_a_killed_trial_left_goes_with_the_next_one(home: Path) -> None:
    """Also on the nodes of a cluster, where no driver looks."""
    notes = str(home)
    killed = subprocess.run([sys.executable, "-c", TRAINS, notes], cwd=Path(__file__).parent, check=False)
    assert killed.returncode == -9
    assert list(home.glob("stabsearch-*"))
    record = run_trial(plan(), build_faulty(FaultyTask(notes, ((1, "kill"),))), setup())
    assert record.outcome is Outcome.STABLE
    assert not list(home.glob("stabsearch-*"))


def test_a_file_system_without_locks_is_no_hindrance(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left by a process that ends; what a killed one leaves there is nobody's to remove."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with temporary_folder() as folder:
        (folder / "made").touch()
        with temporary_folder() as other:
            assert (folder / "made").exists()
            assert other != folder
    assert list(home.iterdir()) == []
