"""A trial that goes on once somebody has been told how far it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from stabsearch.config import QuickstartTask
from stabsearch.task.base import Workload
from stabsearch.task.quickstart import build as build_quickstart

WAITS_AT = 2
TASK = QuickstartTask(num_rows=64, hidden_size=8, num_hidden_layers=1)


@dataclass(frozen=True)
class Gate:
    """Where trials wait; without a fifo none does."""

    fifo: str = ""

    def open(self) -> None:
        """Let the trial that waits go on."""
        Path(self.fifo).write_text("go")


class _Waits(TrainerCallback):  # type: ignore[misc]
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        is_first = os.environ.get("RANK", "0") == "0"
        if state.global_step == WAITS_AT and self._gate.fifo and is_first:
            Path(self._gate.fifo).read_text()


class _Waiting:
    def __init__(self, gate: Gate, inner: Workload) -> None:
        self._gate, self._inner = gate, inner
        self.num_rows, self.chance_loss = inner.num_rows, inner.chance_loss

    def model(self, model_seed: int) -> Any:
        return self._inner.model(model_seed)

    def trainer(self, args: Any, model_seed: int) -> Any:
        trainer = self._inner.trainer(args, model_seed)
        trainer.add_callback(_Waits(self._gate))
        return trainer


def build_waiting(gate: Gate) -> Workload:
    """Return the workload."""
    return _Waiting(gate, build_quickstart(TASK))
