"""A sweep that runs out of disk: by its own budget, by the last free space, or for real."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sweep_runs import Home, check_whole, only_json

from stabsearch.errors import UserError
from stabsearch.report.disk import bytes_below
from stabsearch.report.views import QuietView
from stabsearch.sweep import disk, run_sweep
from stabsearch.sweep.disk import GIB, LOOKS_EVERY_S, DiskWatch

MIB = 2**20


def fill(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


def test_what_is_taken_counts_all_files_once(tmp_path: Path) -> None:
    """Blocks on disk, in all folders; a link counts as the link that it is."""
    fill(tmp_path / "a", MIB)
    fill(tmp_path / "b" / "c", MIB)
    (tmp_path / "to").symlink_to(tmp_path / "a")
    assert 2 * MIB <= bytes_below(tmp_path) < 2.1 * MIB


def test_folder_and_temporary_files_share_one_budget(tmp_path: Path) -> None:
    """Above it nothing more starts, also when something is removed again: in-flight trials write on."""
    seconds = iter(range(0, 1000, int(LOOKS_EVERY_S)))
    folder, scratch = tmp_path / "sweep", tmp_path / "scratch"
    fill(folder / "bad_batches" / "0", MIB)
    fill(scratch / "left", MIB)
    watch = DiskWatch(folder, scratch, 2.5 * MIB / GIB, clock=lambda: next(seconds))
    assert watch.problem() is None
    fill(scratch / "more", MIB)
    problem = watch.problem()
    assert problem is not None
    assert problem.key == ("budget", "disk_gib")
    assert "take 3.0 MiB of" in str(problem)
    (scratch / "more").unlink()
    assert watch.problem() is problem
    use = watch.use
    assert use.bad_batches == use.folder
    assert MIB <= use.folder < 1.1 * MIB
    assert 3 * MIB <= use.peak < 3.1 * MIB


def test_a_look_is_taken_every_other_second(tmp_path: Path) -> None:
    """A source is asked for plans ten times a second; files are counted less often."""
    seconds = iter([0.0, LOOKS_EVERY_S / 2, LOOKS_EVERY_S])
    watch = DiskWatch(tmp_path, tmp_path, 0.5 * MIB / GIB, clock=lambda: next(seconds))
    assert watch.problem() is None
    fill(tmp_path / "a", MIB)
    assert watch.problem() is None
    assert watch.problem() is not None


def test_the_last_free_space_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a budget too: a study that cannot be written is worse than a sweep that waits."""
    assert DiskWatch(tmp_path, tmp_path, None).problem() is None
    monkeypatch.setattr(disk, "KEPT_FREE", 2**60)
    problem = DiskWatch(tmp_path, tmp_path, None).problem()
    assert problem is not None
    assert "are free on the disk of" in str(problem)


def test_a_sweep_above_its_disk_budget_ends_and_goes_on_with_a_larger_one(tmp_path: Path) -> None:
    """Exit code 2, two lines, nothing half done; the budget is no part of what the sweep is."""
    home = Home.made(tmp_path)
    refused = home.run(settings=("budget.disk_gib=1e-6",))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "budget.disk_gib" in refused.stderr.splitlines()[-2]
    whole = home.run("--json", "--resume", "must", settings=("budget.disk_gib=1",))
    assert whole.returncode == 0, whole.stderr
    use = only_json(whole)["disk"]
    assert 0 <= use["bad_batches"] < use["folder"] <= use["peak"] < 200 * MIB
    check_whole(home, sum(only_json(whole)["outcomes"].values()))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if made.returncode:
        assert os.geteuid(), made.stderr
        pytest.skip("making a small disk takes the right to mount; CI has it")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


class Filling(QuietView):
    """Fills the disk to its last byte when a trial has ended."""

    def __init__(self, filler: Path, after: int) -> None:
        self._filler, self._after = filler, after

    def finished(self, record: Any) -> None:
        if record.plan.number == self._after:
            with suppress(OSError), self._filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(2**16))


@pytest.mark.parametrize("storage", ["null", "sqlite:///{}/study.db"])
def test_a_full_disk_loses_nothing(small_disk: Path, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study cannot take the next record: one error, and the same sweep goes on once there is room."""
    monkeypatch.setattr(disk, "KEPT_FREE", 0)
    home, filler = Home.made(small_disk), small_disk / "filler"
    sweep, settings = (
        home.path / "sweep.yaml",
        ("bad_batches.max_gib=0", f"study.storage={storage.format(small_disk)}"),
    )
    with pytest.raises(UserError, match="disk is full") as caught:
        run_sweep(sweep, overrides=settings, view_for=lambda *_: Filling(filler, after=4))
    assert "the same command goes on" in caught.value.hint
    filler.unlink()
    result = run_sweep(sweep, overrides=settings)
    assert result.exit_code == 0
    assert result.disk is not None
    check_whole(home, len(result.trials))
