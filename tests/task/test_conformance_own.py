"""Training code of the user's own keeps what a trial relies on, as built-in tasks do."""

from __future__ import annotations

import shutil
from pathlib import Path

from own_code_samples import module, script

from stabsearch.config import ScriptTask, TrainerTask
from stabsearch.task.base import Workload
from stabsearch.task.registry import build_workload
from stabsearch.testing.task_conformance import WorkloadConformance

EXAMPLES = Path(__file__).parents[2] / "experiments" / "own_code"


def factory(folder: Path, name: str) -> Workload:
    """Return the workload of a factory that lies in a folder."""
    return build_workload(TrainerTask(type="trainer", factory=f"{name}:make_trainer", folder=str(folder)))


class TestFactory(WorkloadConformance):
    """A stock Trainer on rows of one's own."""

    def make_workload(self, folder: Path) -> Workload:
        module(folder, "users_conforming")
        return factory(folder, "users_conforming")


class TestFactoryWithALossOfItsOwn(WorkloadConformance):
    """The example: a Trainer subclass, its loss, its collator, its optimizer."""

    def make_workload(self, folder: Path) -> Workload:
        return factory(EXAMPLES, "factory")


class TestSFTTrainer(WorkloadConformance):
    """The example with TRL's Trainer, whose arguments are a class of their own."""

    def make_workload(self, folder: Path) -> Workload:
        return factory(EXAMPLES, "sft")


class TestScript(WorkloadConformance):
    """A small script."""

    def make_workload(self, folder: Path) -> Workload:
        return build_workload(ScriptTask(type="script", path=str(script(folder)), folder=str(folder)))


class TestScriptOfTheExamples(WorkloadConformance):
    """A script in the shape of the well-known examples, in a folder of its own."""

    def make_workload(self, folder: Path) -> Workload:
        shutil.copy(EXAMPLES / "tickets.csv", folder)
        args = {"train_file": "tickets.csv", "max_seq_length": 32}
        path = str(EXAMPLES / "train.py")
        return build_workload(ScriptTask(type="script", path=path, args=args, folder=str(folder)))
