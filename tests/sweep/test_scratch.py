"""Where temporary files go, and that they are gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from stabsearch.sweep.scratch import scratch

HOLDS = """
import sys
from stabsearch.sweep.scratch import scratch
with scratch() as folder:
    (folder / "left").write_text("by a worker")
    print(folder, flush=True)
    sys.stdin.read()
"""

WRITES = """
import pathlib, sys
while True:
    (pathlib.Path(sys.argv[1]) / "late").mkdir(parents=True, exist_ok=True)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_temporary_files_go_there_and_nothing_stays(home: Path) -> None:
    """Of this process and of those that it starts; afterwards everything is as it was."""
    child = [sys.executable, "-c", "import tempfile; print(tempfile.mkdtemp())"]
    with scratch() as folder:
        assert folder.parent == home
        assert Path(tempfile.mkdtemp()).parent == folder
        assert Path(subprocess.check_output(child, text=True).strip()).parent == folder
    assert list(home.iterdir()) == []
    assert (os.environ["TMPDIR"], tempfile.gettempdir()) == (str(home), str(home))


def test_what_a_killed_run_left_goes_with_the_next_and_that_of_a_living_one_stays(home: Path) -> None:
    """A folder is abandoned once nobody holds its lock, however its process ended."""
    command = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        with scratch():
            assert (held / "left").exists()
        process.kill()
    assert held.exists()
    with scratch():
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
        with scratch():
            assert not psutil.pid_exists(left.pid)
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
    (elsewhere / ".lock").touch()
    (elsewhere / "kept").touch()
    (home / "stabsearch-link").symlink_to(elsewhere)
    with scratch():
        assert {"stabsearch-notes", "stabsearch-link"} <= {path.name for path in home.iterdir()}
        assert (elsewhere / "kept").exists()
