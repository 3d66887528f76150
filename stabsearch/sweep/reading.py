"""What a sweep's folder says, read from its study alone: no data, no model, no GPU is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from stabsearch.errors import UserError
from stabsearch.frontier.labels import relabel
from stabsearch.sweep.prepared import Prepared
from stabsearch.sweep.result import SweepResult, result_of, write


def read_sweep(folder: Path) -> SweepResult:
    """Return a sweep's result as its study shows it now; reads nothing else and writes nothing.

    Raises:
        UserError: the folder holds no sweep.
    """
    from stabsearch.search.stored import read_study, records_in, sweep_in

    study = read_study(folder)
    prepared = Prepared.from_json(sweep_in(study))
    records = relabel(records_in(study), prepared.sweep.outcomes)
    return result_of(prepared, records, folder, f"stabsearch report {folder}")


def read_progress(folder: Path) -> dict[str, Any]:
    """Return how far a sweep is: done, running, budget, and whether a driver is at work."""
    from stabsearch.search.folder import is_locked
    from stabsearch.search.stored import read_study, records_in, sweep_in, unfinished_in

    study = read_study(folder)
    return {
        "done": len(records_in(study)),
        "running": len(unfinished_in(study)),
        "budget": Prepared.from_json(sweep_in(study)).sweep.budget.trials,
        "is_driven": is_locked(folder),
    }


def recommend_from(folder: Path, max_risk: float | None = None, precision: str | None = None) -> SweepResult:
    """Return the result of a sweep for another risk, or among the contexts of one precision.

    Fresh seeds that the sweep ran count; a stricter risk needs more of them.

    Raises:
        UserError: no sweep there, or a precision it did not search.
    """
    from stabsearch.search.stored import read_study, records_in, sweep_in

    study = read_study(folder)
    prepared = Prepared.from_json(sweep_in(study))
    prepared = _narrowed(prepared, max_risk, precision)
    known = set(prepared.resolved.contexts)
    records = [r for r in relabel(records_in(study), prepared.sweep.outcomes) if r.plan.context in known]
    return result_of(prepared, records, folder, f"stabsearch recommend {folder}")


def _narrowed(prepared: Prepared, max_risk: float | None, precision: str | None) -> Prepared:
    sweep, resolved = prepared.sweep, prepared.resolved
    if precision is not None:
        contexts = tuple(context for context in resolved.contexts if context.precision == precision)
        if not contexts:
            raise UserError(
                f"this sweep did not search precision {precision!r}",
                f"it searched {', '.join(sweep.search.precision)}",
            )
        resolved = replace(resolved, contexts=contexts)
    if max_risk is not None:
        risk = sweep.risk.model_validate({**sweep.risk.model_dump(), "max_failure_probability": max_risk})
        sweep = sweep.model_copy(update={"risk": risk})
    return replace(prepared, sweep=sweep, resolved=resolved)


def rebuild_reports(folder: Path) -> SweepResult:
    """Return a sweep's result as its study shows it, all report files written anew.

    Raises:
        UserError: the folder holds no sweep.
    """
    result = read_sweep(folder)
    write(result)
    return result
