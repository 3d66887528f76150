"""Two drivers and one study in a database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_runs import Home

from experiments.on_loopback.servers import PASSWORD, postgres, postgres_url
from stabsearch.errors import UserError
from stabsearch.search.holding import study_held
from stabsearch.search.stored import study_name

HOLDS = """
import sys
from stabsearch.search.holding import study_held
with study_held(sys.argv[1], "study/a"):
    print("held", flush=True)
    sys.stdin.read()
"""


def check(url: str | None) -> None:
    """Hold a study in another process, and see who may have it."""
    command = [sys.executable, "-c", HOLDS, str(url)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(UserError, match=f"in use by process {other.pid} on ") as caught,
            study_held(url, "study/a"),
        ):
            pass
        assert PASSWORD not in str(caught.value)
        with study_held(url, "study/b"):
            pass
        other.kill()
    with study_held(url, "study/a"):
        pass


def test_sqlite(tmp_path: Path) -> None:
    check(f"sqlite:///{tmp_path}/study.db")


def test_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with postgres("study") as server:
        check(postgres_url(server.port, "study"))


@pytest.mark.parametrize("url", [None, "sqlite:////no/such/folder/study.db", "postgresql://a@127.0.0.1:1/x"])
def test_what_cannot_be_held_is_left_to_who_opens_it(url: str | None) -> None:
    """A journal has its folder's lock; a database that is not there is an error of its own."""
    with study_held(url, "study/a"):
        pass


@pytest.mark.cli
def test_a_second_driver_is_refused_though_its_folder_is_another(tmp_path: Path) -> None:
    """It would take the first one's trials for its own, and run them again."""
    url = f"sqlite:///{tmp_path}/study.db"
    home = Home.made(tmp_path / "elsewhere")
    with study_held(url, study_name("tiny", url)):
        refused = home.run(settings=(f"study.storage={url}",))
    assert (refused.returncode, refused.stdout) == (2, "")
    first, second = refused.stderr.splitlines()
    assert f"in use by process {os.getpid()} on " in first
    assert "wait for it" in second
    assert not (tmp_path / "study.db").exists()
