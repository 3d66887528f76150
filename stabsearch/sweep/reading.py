"""What a sweep's folder says, read from its study alone: no data, no model, no GPU is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.errors import UserError
from stabsearch.frontier.conclude import answered_with
from stabsearch.frontier.labels import relabel
from stabsearch.frontier.preference import Tried, Utility, preferred, tried
from stabsearch.sweep.diagnosis_file import ASKS_WHY, stored_diagnosis
from stabsearch.sweep.drift_places import DRIFT
from stabsearch.sweep.prepared import Prepared
from stabsearch.sweep.result import SweepResult, result_of, write

if TYPE_CHECKING:
    from optuna.study import Study


def read_sweep(folder: Path) -> SweepResult:
    """Return a sweep's result as its study shows it now; reads nothing else and writes nothing.

    Raises:
        UserError: the folder holds no sweep.
    """
    from stabsearch.search.stored import read_study, sweep_in

    study = read_study(folder)
    if DRIFT in (stored := sweep_in(study)):
        hint = "`stabsearch status` on that folder says what it found"
        raise UserError(f"{folder} holds a drift, the test of a sweep in {stored[DRIFT]}", hint)
    return _shown(Prepared.from_json(stored), study, folder)


def stored_prepared(folder: Path) -> Prepared:
    """Return a sweep as it was prepared when it was run.

    Raises:
        UserError: the folder holds no sweep.
    """
    from stabsearch.search.stored import read_study, sweep_in

    return Prepared.from_json(sweep_in(read_study(folder)))


def stored_end(folder: Path) -> str:
    """Return how the last run of a sweep ended: FINISHED, FAILED or KILLED.

    Raises:
        UserError: the folder holds no sweep.
    """
    from stabsearch.search.stored import end_in, read_study

    return end_in(read_study(folder))


def _shown(prepared: Prepared, study: Study, folder: Path) -> SweepResult:
    """Return the result, with the command and the versions that the trials were run with."""
    from stabsearch.search.stored import records_in, sweep_in

    records, stored = relabel(records_in(study), prepared.sweep.outcomes), sweep_in(study)
    result = result_of(
        prepared, records, folder, command=stored["command"], versions=stored["versions"],
        run_as=Prepared.from_json(stored),
    )  # fmt: skip
    return result.explained(stored_diagnosis(folder) if result.answer.verdict in ASKS_WHY else None)


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


def recommend_from(
    folder: Path, max_risk: float | None = None, precision: str | None = None, utility: Utility | None = None
) -> SweepResult:
    """Return the result of a sweep for another risk, another utility, or among the contexts of one precision.

    Fresh seeds that the sweep ran count; a stricter risk needs more of them, and a configuration that
    another utility chooses has none as a rule.

    Raises:
        UserError: no sweep there, or a precision it did not search.
    """
    from stabsearch.search.stored import read_study, sweep_in

    study = read_study(folder)
    prepared = _narrowed(Prepared.from_json(sweep_in(study)), max_risk, precision)
    result = _shown(prepared, study, folder)
    if utility is None:
        return result
    found = result.findings
    best = preferred(found.frontier, utility, configurations_of(result))
    if best is None:
        return result
    return result.answered(answered_with(best, result.answer, found.records, found.frontier, prepared.terms))


def configurations_of(result: SweepResult) -> list[Tried]:
    """Return the configurations that a sweep's trials survived, with risk and loss."""
    found = result.findings
    return tried(found.records, found.frontier, result.sweep.outcomes)


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
        if not 0 < max_risk < 0.5:
            raise UserError(
                f"--max-risk {max_risk:g}: a failure probability above 0 and below 0.5 is needed",
                "0.05 allows one run in twenty to fail",
            )
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
