"""When each trial's steps began and ended, told by the processes that ran them."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback


@dataclass(frozen=True)
class Trained:
    """One trial, seconds since the epoch."""

    worker: str
    """The process that ran it."""
    first_step: float
    """Its first optimizer step began."""
    last_step: float
    """Its last optimizer step ended."""
    steps: int

    @property
    def seconds(self) -> float:
        """Return how long it was in training steps."""
        return self.last_step - self.first_step


def tell(folder: Path, trained: Trained) -> None:
    """Leave a note for the benchmark; one file per process, one line per trial."""
    with (folder / f"events-{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(trained)) + "\n")


def told(folder: Path) -> list[Trained]:
    """Return all notes, in the order of their first steps."""
    lines = [line for path in folder.glob("events-*.jsonl") for line in path.read_text().splitlines()]
    return sorted((Trained(**json.loads(line)) for line in lines), key=lambda trained: trained.first_step)


class Clock(TrainerCallback):  # type: ignore[misc]
    """Notes the steps of a Trainer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._first = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Forget the training before."""
        self._first = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Note the first step."""
        self._first = self._first or time.time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note the step that may be the last."""
        self._last = time.time()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell what was noted."""
        tell(self._folder, Trained(str(os.getpid()), self._first, self._last, state.global_step))
