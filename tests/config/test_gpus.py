"""Which GPUs a process may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from stabsearch.config import gpus


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a machine with two GPUs, the first of which a container does not show."""
    for name in ("nvidia1", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("two")
def test_those_that_the_machine_shows() -> None:
    """CUDA counts from 0, whatever the files are called."""
    assert gpus.visible_gpus() == ("0", "1")


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(("allowed", "meant"), [("", ()), ("1", ("1",)), ("GPU-a, 3", ("GPU-a", "3"))])
def test_those_that_the_environment_allows(
    allowed: str, meant: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable hides all."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert gpus.visible_gpus() == meant


def test_none_without_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of processors alone."""
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus.visible_gpus() == ()
