"""One driver at a time, one sweep per folder, and clear words for everything else."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from campaign_samples import sweep_of

from stabsearch.errors import UserError
from stabsearch.search.folder import LOCK, SweepFolder, is_locked

HOLD = """
import sys
from pathlib import Path
import stabsearch.search.folder as module
from stabsearch.search.folder import SweepFolder
class Named:
    output_dir, name = sys.argv[1], "test"
with SweepFolder(Named()).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def begin(home: Path, **parts: Any) -> SweepFolder:
    folder = SweepFolder(sweep_of(output_dir=str(home), **parts))
    folder.check()
    with folder.locked():
        folder.write_resolved()
    return folder


def test_the_folder_is_named_after_the_sweep(tmp_path: Path) -> None:
    """<output_dir>/<name>."""
    assert SweepFolder(sweep_of(output_dir=str(tmp_path))).path == tmp_path / "test"


def test_checking_writes_nothing(tmp_path: Path) -> None:
    """A sweep that is refused later has left no trace."""
    SweepFolder(sweep_of(output_dir=str(tmp_path / "deep" / "down"))).check()
    assert list(tmp_path.iterdir()) == []


def test_the_same_sweep_may_go_on(tmp_path: Path) -> None:
    """Also with another budget, place or driver: that changes nothing that is measured."""
    begin(tmp_path, trials=12)
    SweepFolder(sweep_of(output_dir=str(tmp_path), trials=30)).check()
    SweepFolder(sweep_of(output_dir=str(tmp_path), resources={"driver": "inline"}), "must").check()


def test_a_different_sweep_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    """Trials of two sweeps in one study would mean nothing; nothing is overwritten."""
    folder = begin(tmp_path)
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    other = sweep_of(output_dir=str(tmp_path), sampler="tpe", seed=7)
    with pytest.raises(UserError, match=r"holds a different sweep: seed: 0 -> 7 \(and 1 more\)") as caught:
        SweepFolder(other).check()
    assert caught.value.key == ("name",)
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


def test_must_needs_something_to_resume(tmp_path: Path) -> None:
    """Whoever says must has a sweep in mind that is not here."""
    with pytest.raises(UserError, match="nothing to resume"):
        SweepFolder(sweep_of(output_dir=str(tmp_path)), "must").check()
    begin(tmp_path)
    SweepFolder(sweep_of(output_dir=str(tmp_path)), "must").check()


def test_never_needs_an_unused_folder(tmp_path: Path) -> None:
    """Whoever says never does not want old trials to count."""
    SweepFolder(sweep_of(output_dir=str(tmp_path)), "never").check()
    begin(tmp_path)
    with pytest.raises(UserError, match="holds a sweep already"):
        SweepFolder(sweep_of(output_dir=str(tmp_path)), "never").check()


@pytest.mark.parametrize("place", ["", "test"])
def test_a_file_in_the_way_is_named(tmp_path: Path, place: str) -> None:
    """Where the folder or one above it should be."""
    home = tmp_path / "home"
    if place:
        home.mkdir()
    (home / place if place else home).write_text("in the way")
    with pytest.raises(UserError, match="is a file, not a folder") as caught:
        SweepFolder(sweep_of(output_dir=str(home))).check()
    assert caught.value.key == ("output_dir",)


def test_a_folder_without_the_right_to_write_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest folder that exists is the one that counts; asked of the system, since root may all."""
    asked: list[Path] = []

    def refuse(path: Path, mode: int) -> bool:
        asked.append(path)
        return False

    monkeypatch.setattr(os, "access", refuse)
    with pytest.raises(UserError, match=f"no right to write into {tmp_path}"):
        SweepFolder(sweep_of(output_dir=str(tmp_path / "deep"))).check()
    assert asked == [tmp_path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that turned read-only after the check gives two lines, too."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    folder = SweepFolder(sweep_of(output_dir=str(tmp_path)))
    with pytest.raises(UserError, match=r"cannot write into .*: Read-only file system"), folder.locked():
        pass


def test_a_second_driver_is_refused_and_the_first_one_named(tmp_path: Path) -> None:
    """Process and host, so that it can be found and stopped; its name stays in the lock."""
    with _holder(tmp_path) as holder:
        assert is_locked(tmp_path / "test")
        folder = SweepFolder(sweep_of(output_dir=str(tmp_path)))
        for _ in range(2):
            with pytest.raises(UserError, match="is in use by") as caught, folder.locked():
                pass
            assert f"process {holder.pid} on {socket.gethostname()}" in caught.value.message
        assert holder.stdin is not None
        holder.stdin.close()


def test_a_killed_driver_does_not_hold_its_folder(tmp_path: Path) -> None:
    """The lock file stays, the lock does not."""
    with _holder(tmp_path) as holder:
        holder.kill()
    assert (tmp_path / "test" / LOCK).exists()
    assert not is_locked(tmp_path / "test")
    with SweepFolder(sweep_of(output_dir=str(tmp_path))).locked():
        assert is_locked(tmp_path / "test")
    assert not is_locked(tmp_path / "test")


def test_looking_at_the_lock_does_not_keep_a_driver_out(tmp_path: Path) -> None:
    """Somebody who asks for the status in the very moment in which a driver starts is no driver."""
    import fcntl
    import threading

    folder = SweepFolder(sweep_of(output_dir=str(tmp_path)))
    with folder.locked():
        pass
    looking = (folder.path / LOCK).open("r")
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.01, looking.close).start()
    with folder.locked():
        assert is_locked(folder.path)


def _holder(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_file_system_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lines; some network file systems have none."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    folder = SweepFolder(sweep_of(output_dir=str(tmp_path)))
    with pytest.raises(UserError, match="has no locks: No locks available") as caught, folder.locked():
        pass
    assert "output_dir" in str(caught.value)
