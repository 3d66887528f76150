"""optuna-dashboard on a sweep's own study."""

from __future__ import annotations

import select
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import optuna
import pytest
from campaign_samples import study_of, sweep_of

from experiments.on_loopback.browser import visit
from experiments.on_loopback.ports import free_ports
from stabsearch.errors import UserError
from stabsearch.search.dashboard import dashboard_command
from stabsearch.search.storage import open_storage
from stabsearch.search.stored import SWEEP, study_name
from stabsearch.testing.records import record_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

TIMEOUT_MS = 120_000  # chosen: a busy machine


def begin(folder: Path) -> None:
    """Leave a study of four trials in a folder."""
    study = study_of(sweep_of(), open_storage(folder, None))
    study.keep_sweep({"name": "test"})
    for _ in range(4):
        study.tell(record_of(study.ask()))


@contextmanager
def served(command: list[str], address: str) -> Iterator[None]:
    """Run a server until it is no longer needed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                select.select([], [], [], 0.2)  # lets others have the processor until the next look
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.browser
def test_the_dashboard_lists_the_study_and_its_trials(tmp_path: Path, browser: Browser) -> None:
    """All of them complete, nothing asked of any network."""
    begin(tmp_path)
    port = free_ports(1)[0]
    address = f"http://127.0.0.1:{port}/"
    command = dashboard_command(tmp_path, port)
    assert command[1:3] == ["--host", "127.0.0.1"]
    with served(command, address), visit(browser) as seen:
        seen.page.set_default_timeout(TIMEOUT_MS)
        seen.page.goto(address)
        seen.page.get_by_text("stabsearch").first.wait_for()
        seen.page.goto(f"{address}dashboard/studies/0/trials")
        seen.page.get_by_text("Complete").first.wait_for()
        assert seen.refused == []


def test_a_folder_without_a_sweep_has_no_dashboard(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no sweep"):
        dashboard_command(tmp_path, 8080)


def test_a_database_is_opened_by_its_address(tmp_path: Path) -> None:
    """The one that the resolved sweep names."""
    url = f"sqlite:///{tmp_path}/study.db"
    (tmp_path / "sweep.resolved.yaml").write_text(f"name: test\nstudy:\n  storage: {url}\n")
    optuna.create_study(storage=url, study_name=study_name("test", url)).set_user_attr(SWEEP, {})
    assert dashboard_command(tmp_path, 8080)[-1] == url
