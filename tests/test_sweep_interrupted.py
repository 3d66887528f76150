"""Sweeps that are killed, interrupted and run again."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_runs import PROGRESS, SLOW, TRIALS, Home, check_whole, mlflow_runs, only_json, stabsearch


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home of temporary files, its path short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="t"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.ray
def test_interrupted_and_killed_a_sweep_is_finished_by_the_same_command(
    tmp_path: Path, temporary: Path
) -> None:
    """Twice Ctrl-C, kill -9, the end of its Ray: no trial lost, none repeated, nothing left RUNNING.

    Nor is anything temporary left: what the killed run could not remove, the next one does.
    """
    home = Home.made(tmp_path, "ray")
    first = home.start(settings=SLOW)
    first.wait_for(1)
    code, out, seen = first.stop(signal.SIGINT, times=2)
    assert (code, out) == (130, ""), seen
    assert noise(seen) == ["interrupted; the same command goes on where it stopped"]
    assert first.left_behind() == []
    assert list(temporary.iterdir()) == []

    second = home.start(settings=SLOW)
    second.wait_for(5)
    second.process.send_signal(signal.SIGSTOP)  # else a slow look might find it at its end
    busy = only_json(stabsearch("status", str(home.folder), "--json"))["progress"]
    assert busy["is_driven"]
    assert busy["done"] >= 5
    code, _, seen = second.stop(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert noise(seen) == []
    done = records(home)
    assert not only_json(stabsearch("status", str(home.folder), "--json"))["progress"]["is_driven"]

    assert [path.name[:11] for path in temporary.iterdir()] == ["stabsearch-"]
    third = home.start("--resume", "must", settings=SLOW)
    third.wait_for(8)
    third.kill_part("gcs_server")
    code, out, seen = third.ended()
    assert (code, out) == (2, ""), seen
    assert noise(seen) == [
        "Ray on this machine has ended: its gcs_server is gone",
        "  the same command goes on where it stopped",
    ]

    last = home.run("--resume", "must", "--json", settings=SLOW)
    assert last.returncode == only_json(last)["exit_code"], last.stderr
    assert noise(last.stderr) == []
    # Ray's two agents look for their raylet once a minute or so, and then end themselves
    assert [text for text in second.left_behind() if "Agent" not in text] == []
    kept = records(home)
    assert {number: kept[number] for number in done} == done
    assert len(kept) >= TRIALS - 2
    check_whole(home, trials=len(kept))
    assert list(temporary.iterdir()) == []


def test_a_sweep_that_is_told_to_end_leaves_everything_in_order(tmp_path: Path) -> None:
    """SIGTERM in mid-sweep: 130, the report of what is done is there, and no run is left RUNNING."""
    home = Home.made(tmp_path)
    running = home.start(settings=SLOW)
    running.wait_for(2)
    code, out, seen = running.stop(signal.SIGTERM)
    assert (code, out) == (130, ""), seen
    assert noise(seen) == ["interrupted; the same command goes on where it stopped"]
    assert (home.folder / "report.html").exists()
    assert len(home.trials()) == len(records(home)) >= 2
    statuses = [run.info.status for run in mlflow_runs(home)]
    assert sorted(statuses) == sorted(["KILLED", *["FINISHED"] * len(records(home))])


def noise(stderr: str) -> list[str]:
    """Return what is no progress: what a user sees and, mostly, nobody meant to write."""
    return [line for line in stderr.splitlines() if not PROGRESS.match(line)]


def records(home: Home) -> dict[int, str]:
    """Return every record in the study, by trial number."""
    from stabsearch.search.stored import read_study, records_in

    return {record.plan.number: repr(record) for record in records_in(read_study(home.folder))}
