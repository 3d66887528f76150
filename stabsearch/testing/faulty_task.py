"""A real, tiny workload whose worker does what workers do on a bad day."""

from __future__ import annotations

import json
import os
import signal
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer, TrainingArguments

    from stabsearch.task.base import Workload

Fault = Literal["raise", "exit", "kill", "hang"]


@dataclass(frozen=True)
class FaultyTask:
    """A task for tests of drivers; ``build_faulty`` makes its workload.

    What workers did is noted in files, since they are other processes.
    """

    folder: str
    """Where workers leave their notes."""
    faults: tuple[tuple[int, Fault], ...] = ()
    """Model seed of a trial -> what goes wrong. ``raise`` happens each time, the rest at the first
    start only."""
    failing_builds: int = 0
    """How many builds of the workload fail before one succeeds."""

    def notes(self, kind: Literal["build", "start"]) -> list[dict[str, Any]]:
        """Return what workers noted: their ``pid``, and on a start also ``seed`` and ``threads``."""
        paths = sorted(Path(self.folder).glob(f"{kind}-*.json"))
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    def note(self, kind: Literal["build", "start"], **facts: Any) -> None:
        """Leave a note of this process."""
        path = Path(self.folder) / f"{kind}-{uuid.uuid4().hex}.json"
        path.write_text(json.dumps({"pid": os.getpid(), **facts}), encoding="utf-8")


def build_faulty(task: FaultyTask) -> Workload:
    """Return the workload, or fail as often as the task says.

    Raises:
        RuntimeError: this build is one of those that fail.
    """
    from stabsearch.config import QuickstartTask
    from stabsearch.task.quickstart import build as build_quickstart

    for number in range(task.failing_builds):
        if _first(task, f"failed-build-{number}"):
            raise RuntimeError("the workload cannot be built")
    tiny = QuickstartTask(num_rows=64, hidden_size=8, num_hidden_layers=1)
    workload = _FaultyWorkload(task, build_quickstart(tiny))
    task.note("build")
    return workload


class _FaultyWorkload:
    def __init__(self, task: FaultyTask, inner: Workload) -> None:
        self._task, self._inner = task, inner

    @property
    def num_rows(self) -> int:
        return self._inner.num_rows

    @property
    def chance_loss(self) -> float:
        return self._inner.chance_loss

    def model(self, model_seed: int) -> PreTrainedModel:
        return self._inner.model(model_seed)

    def trainer(self, args: TrainingArguments, model_seed: int) -> Trainer:
        import torch

        threads = {"omp": os.environ.get("OMP_NUM_THREADS"), "torch": torch.get_num_threads()}
        self._task.note("start", seed=model_seed, threads=threads)
        fault = dict(self._task.faults).get(model_seed)
        if fault == "raise":
            raise RuntimeError("the trial raised")
        if fault is not None and _first(self._task, f"{fault}-{model_seed}"):
            _suffer(fault)
        return self._inner.trainer(args, model_seed)


def _suffer(fault: Fault) -> None:
    if fault == "exit":
        os._exit(3)
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()


def _first(task: FaultyTask, name: str) -> bool:
    """Return whether no process has come by here yet."""
    try:
        (Path(task.folder) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
