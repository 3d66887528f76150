"""A watched training of two processes: they stop in the same step, and one of them keeps its batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stabsearch.capture.bundle import read_bundle
from stabsearch.forensics.replay import Options, replay

Said = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, Said]:
    """Return what the trainings said in either process."""
    home = tmp_path_factory.mktemp("watched")
    program = [sys.executable, str(Path(__file__).with_name("watch_in_ranks.py")), str(home)]
    path = os.pathsep.join(sys.path)
    running = [
        subprocess.Popen(
            program,
            env={**os.environ, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2",
                 "LOCAL_WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": path,
                 "TORCH_CPP_LOG_LEVEL": "ERROR"},
        )
        for rank in "01"
    ]  # fmt: skip
    assert [process.wait() for process in running] == [0, 0]
    first, second = (json.loads((home / f"said-{rank}.json").read_text()) for rank in "01")
    return first, second


def test_they_end_alike(both: tuple[Said, Said]) -> None:
    """Step, weights and what was raised are the same in both, however it ended."""
    first, second = both
    assert list(first) == list(second)
    for name in first:
        assert first[name]["steps"] == second[name]["steps"], name
        assert first[name]["message"] == second[name]["message"], name


def test_a_sound_training_is_left_alone(both: tuple[Said, Said]) -> None:
    """Bitwise the same weights as without the watch."""
    for said in both:
        assert said["healthy"] == said["unwatched"]


@pytest.mark.parametrize("name", ["raise", "gradient"])
def test_one_keeps_the_batch_and_both_name_it(both: tuple[Said, Said], name: str) -> None:
    """It is that of the process whose numbers were bad; a replay by one process comes to the same bits."""
    first, second = both
    assert first[name]["bundle"] == second[name]["bundle"] != ""
    assert first[name]["weights"] == second[name]["weights"]
    bundle = read_bundle(Path(first[name]["bundle"]))
    assert any(7 in (each.rows or ()) for each in bundle.manifest.window)
    assert replay(bundle, Options(trust_code=True)).verdict == "bit-exact"


def test_stop_returns_in_both(both: tuple[Said, Said]) -> None:
    """With the weights from before the bad update, as if it had been raised."""
    for said in both:
        assert said["stop"]["message"] == ""
        assert said["stop"]["steps"] == said["raise"]["steps"] < 8
        assert said["stop"]["weights"] == said["raise"]["weights"]


@pytest.mark.parametrize("name", ["warn", "accumulated", "fp16", "gradient passed over"])
def test_warn_leaves_the_update_out_in_both(both: tuple[Said, Said], name: str) -> None:
    """And training goes on to its end, on the same weights."""
    first, second = both
    assert first[name]["steps"] == 8
    assert first[name]["warnings"] == second[name]["warnings"] != []
    assert "update left out" in first[name]["warnings"][0]
