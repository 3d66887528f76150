"""The command line, run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from stabsearch.cli import main


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def error_lines(self) -> list[str]:
        return self.err.rstrip("\n").split("\n")


Command = Callable[..., Said]


@pytest.fixture
def stabsearch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command line and return its exit code, stdout and stderr."""

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["stabsearch", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def sweep_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a tiny valid sweep, with some parts replaced, and return its path."""

    def write(**parts: object) -> Path:
        base: dict[str, object] = {
            "name": "tiny",
            "output_dir": str(tmp_path / "runs"),
            "task": {"type": "quickstart", "num_rows": 64, "hidden_size": 16, "num_hidden_layers": 1},
            "training": {"max_steps": 40, "per_device_train_batch_size": 4},
            "search": {"learning_rate": {"low": 1e-4, "high": 1.0}, "warmup": [0], "precision": ["fp32"]},
            "budget": {"trials": 6, "horizon": 8},
            "tracking": {"uri": "none"},
            "resources": {"driver": "inline"},
        }
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump({**base, **parts}, sort_keys=False), encoding="utf-8")
        return path

    return write
