"""Task type -> workload; the module of a type is imported when the first sweep asks for it."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from stabsearch.task.base import Workload
    from stabsearch.task.rows import TaskTable

MODULES = {
    "quickstart": "quickstart",
    "sequence-classification": "text_classification",
    "multi-label": "multi_label",
    "regression": "regression",
    "token-classification": "token_classification",
    "causal-lm": "causal_lm",
    "masked-lm": "masked_lm",
    "seq2seq": "seq2seq",
    "trainer": "own_trainer",
    "script": "script",
}
"""Modules of this room. Each has ``build(task, table)``; one that reads a table has ``read(task)`` too."""


def _builder(module: str) -> Callable[[Any, TaskTable | None], Workload]:
    def build(task: Any, table: TaskTable | None) -> Workload:
        workload: Workload = import_module(f"stabsearch.task.{module}").build(task, table)
        return workload

    return build


BUILDERS = {kind: _builder(module) for kind, module in MODULES.items()}


def read_table(task: Any) -> TaskTable | None:
    """Return the training table of a sweep's ``task`` part as it is; None for a task that reads none.

    Raises:
        UserError: the data cannot be read, or has no such column; its key says which.
    """
    module = import_module(f"stabsearch.task.{MODULES[task.type]}")
    return module.read(task) if hasattr(module, "read") else None


def build_workload(task: Any, table: TaskTable | None = None, peft: Any = None) -> Workload:
    """Return the workload of a sweep's ``task`` part: reads data and model, once per worker.

    Args:
        task: the part ``task`` of the sweep.
        table: its training table, where it has been read already.
        peft: the part ``peft`` of the sweep; None: all weights are trained.

    Raises:
        UserError: data or model cannot be used; its key says which part of the sweep is wrong.
    """
    workload = BUILDERS[task.type](task, table)
    if peft is None:
        return workload
    from stabsearch.task.peft import with_adapters
    from stabsearch.task.workload import RowWorkload

    assert isinstance(workload, RowWorkload), "a task of the user's own code brings its own adapters"
    return replace(workload, make_model=with_adapters(workload.make_model, peft))
