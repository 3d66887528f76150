"""Where temporary files of a run go, and that they are gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stabsearch.sweep.scratch import scratch


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


def test_what_was_started_meanwhile_does_not_outlive_it(home: Path) -> None:
    """A worker that still starts while its Ray has gone would make the folder anew."""
    writes = (
        "import os, pathlib\nwhile True: pathlib.Path(os.environ['TMPDIR'], 'late').mkdir(0o700, True, True)"
    )
    with scratch() as folder:
        left = subprocess.Popen([sys.executable, "-c", writes])
        while not (folder / "late").exists():
            assert left.poll() is None
    try:
        assert left.wait(10) == -9
        assert list(home.iterdir()) == []
    finally:
        left.kill()
