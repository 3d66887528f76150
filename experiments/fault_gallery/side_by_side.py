"""The same faults given to other tools: one report per tool, at one seed and precision."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from transformers import Trainer

from experiments.fault_gallery.cell import Cell
from experiments.fault_gallery.fault import Fault
from experiments.fault_gallery.faults import GALLERY
from experiments.fault_gallery.other_tools import Report, ask_other_tools
from stabsearch.trial.arguments import trial_arguments
from stabsearch.trial.precision import enable_fp16_on_cpu


@dataclass(frozen=True)
class Asked:
    """What the other tools said of one cell."""

    key: str
    fault: str
    reports: tuple[Report, ...]
    fingerprint: str = ""
    """Of the code that gave this."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Asked:
        """Return what ``to_json`` was made from."""
        reports = tuple(Report(**each) for each in values["reports"])
        return cls(values["key"], values["fault"], reports, values["fingerprint"])


def asked_cell(name: str) -> Cell:
    """Return the cell at which the other tools are asked about a fault."""
    return Cell(name, 0, GALLERY[name].precisions[0])


def ask(cell: Cell) -> Asked:
    """Return what each other tool says of a cell, each on a training of its own."""
    fault = GALLERY[cell.fault]
    with tempfile.TemporaryDirectory(prefix="fault-gallery-") as folder:
        reports = ask_other_tools(lambda: _trainer(fault, cell, folder))
    return Asked(cell.key, cell.fault, reports)


def _trainer(fault: Fault, cell: Cell, folder: str) -> Trainer:
    """Return the trial's Trainer without stabsearch's guard; it stops at the trial's horizon.

    Its model attends in plain operations: DebugUnderflowOverflow cannot take the boolean masks that the
    default attention of Transformers passes around, and would fail on every batch with padding.
    """
    plan, setup = fault.plan(cell.seed, cell.precision), replace(fault.setup(), max_steps=fault.horizon)
    trainer = fault.build(cell.seed).trainer(trial_arguments(plan, setup, folder), cell.seed)
    trainer.model.set_attn_implementation("eager")
    if cell.precision == "fp16":
        enable_fp16_on_cpu(trainer)
    return trainer
