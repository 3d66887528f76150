"""Run a sweep from its file to its answer: the only place where all rooms meet."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.config import Sweep
from stabsearch.config.load import LoadedSweep, load_sweep
from stabsearch.config.resolve import Resolved, resolve
from stabsearch.config.source import Source
from stabsearch.config.write import difference
from stabsearch.driver.interrupts import term_as_interrupt
from stabsearch.errors import ExitCode, UserError
from stabsearch.frontier.answer import Answer
from stabsearch.frontier.conclude import Terms, conclude
from stabsearch.frontier.confirmation import confirmation_trials
from stabsearch.frontier.labels import relabel
from stabsearch.records import Context
from stabsearch.records.frame import trials_frame
from stabsearch.search.campaign import fitted
from stabsearch.search.folder import Resume, SweepFolder

if TYPE_CHECKING:
    import pandas as pd

    from stabsearch.driver.base import Driver
    from stabsearch.records import TrialRecord
    from stabsearch.report.findings import Findings
    from stabsearch.report.views import View
    from stabsearch.search.campaign import Campaign
    from stabsearch.search.study import SweepStudy
    from stabsearch.tracking import Delivery, Tracker

ViewFor = Callable[[Sweep, int], "View"]
"""Sweep and number of trials already done -> what is shown while it runs."""


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found."""

    findings: Findings
    """Everything the reports show."""
    trials: pd.DataFrame
    """One row per trial, the columns of ``trials.csv``."""
    frontier: pd.DataFrame
    """One row per context, the columns of ``frontier.csv``."""
    recommended: dict[str, Any] | None
    """TrainingArguments fields of the recommended configuration, None when there is none."""
    folder: Path
    """Where the files are."""
    delivery: Delivery | None = None
    """What reached MLflow; None when reports were only rebuilt."""

    @property
    def answer(self) -> Answer:
        """Return the answer in words and numbers."""
        return self.findings.answer

    @property
    def sweep(self) -> Sweep:
        """Return what was asked for."""
        return self.findings.sweep

    @property
    def exit_code(self) -> ExitCode:
        """Return what ``stabsearch run`` exits with."""
        return self.answer.verdict.exit_code


@dataclass(frozen=True)
class Prepared:
    """A sweep that has passed every check and has spent nothing yet."""

    sweep: Sweep
    resolved: Resolved
    source: Source = field(default_factory=Source)

    @property
    def required(self) -> int:
        """Return how many fresh seeds a confirmation needs."""
        risk = self.sweep.risk
        if risk.confirmation_trials == "auto":
            return confirmation_trials(risk.max_failure_probability, risk.confidence)
        return risk.confirmation_trials

    @property
    def terms(self) -> Terms:
        """Return what the answer is given on."""
        risk, resolved = self.sweep.risk, self.resolved
        return Terms(
            risk.max_failure_probability,
            risk.confidence,
            self.required,
            resolved.horizon,
            resolved.max_steps,
            resolved.caveats,
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything but the source, as it is kept in the study."""
        return {"sweep": self.sweep.model_dump(mode="json"), "resolved": asdict(self.resolved)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Prepared:
        """Return what ``to_json`` took apart."""
        resolved: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data["resolved"].items()
        }
        resolved["contexts"] = tuple(Context(*context) for context in resolved["contexts"])
        return cls(Sweep.model_validate(data["sweep"]), Resolved(**resolved))


def run_sweep(
    sweep: Path | str | Sweep,
    *,
    overrides: Sequence[str] = (),
    resume: Resume = "auto",
    view_for: ViewFor | None = None,
    command: str = "",
) -> SweepResult:
    """Return what a sweep found, having run it, or what was left of it.

    Args:
        sweep: the file, or a sweep made in Python.
        overrides: ``key=value`` texts for a file, as ``--set`` takes them.
        resume: ``auto`` goes on with an interrupted sweep, ``must`` needs one, ``never`` refuses one.
        view_for: makes what is shown while it runs; default: nothing is shown.
        command: what the user typed, for the report; default: the program's own command line.

    Raises:
        UserError: something the user can put right; nothing was overwritten.
        KeyboardInterrupt: stopped; the same call goes on where it stopped.
    """
    loaded = LoadedSweep(sweep, Source()) if isinstance(sweep, Sweep) else load_sweep(Path(sweep), overrides)
    with _placed(loaded.source), term_as_interrupt():
        folder = SweepFolder(loaded.sweep, resume)
        folder.check()
        prepared = _checked(loaded)
        _tracker(prepared.sweep, "", folder.path).check()
        with folder.locked():
            return _run(prepared, folder, view_for or _nothing_shown, command or " ".join(sys.argv))


def prepare(sweep: Path | str, overrides: Sequence[str] = ()) -> Prepared:
    """Return the sweep resolved and checked against this machine, its data and its model.

    Raises:
        UserError: with the place in the file.
    """
    loaded = load_sweep(Path(sweep), overrides)
    with _placed(loaded.source):
        return _checked(loaded)


def _checked(loaded: LoadedSweep) -> Prepared:
    from stabsearch.forensics.preflight import preflight

    found = preflight(loaded.sweep)
    return Prepared(loaded.sweep, resolve(loaded.sweep, found.num_rows), loaded.source)


def read_sweep(folder: Path) -> SweepResult:
    """Return a sweep's result as its study shows it now; reads nothing else and writes nothing.

    Raises:
        UserError: the folder holds no sweep.
    """
    from stabsearch.search.stored import read_study, records_in, sweep_in

    study = read_study(folder)
    prepared = Prepared.from_json(sweep_in(study))
    records = relabel(records_in(study), prepared.sweep.outcomes)
    return _result(prepared, records, folder, f"stabsearch report {folder}")


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

    Confirmation trials count only where they were run for at most the risk that is asked for.

    Raises:
        UserError: no sweep there, or a precision it did not search.
    """
    from stabsearch.search.stored import read_study, records_in, sweep_in

    study = read_study(folder)
    prepared = Prepared.from_json(sweep_in(study))
    prepared = _narrowed(prepared, max_risk, precision)
    known = set(prepared.resolved.contexts)
    records = [r for r in relabel(records_in(study), prepared.sweep.outcomes) if r.plan.context in known]
    return _result(prepared, records, folder, f"stabsearch recommend {folder}")


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


def planned(prepared: Prepared) -> dict[str, Any]:
    """Return what a sweep would do, as names and values for people."""
    from stabsearch.search.campaign import Stages

    sweep, resolved = prepared.sweep, prepared.resolved
    stages = Stages(sweep.budget.trials, prepared.required)
    searched, reserved = stages.trials - stages.reserved - 1, stages.reserved
    rates, risk = sweep.search.learning_rate, sweep.risk
    return {
        "sweep": f"{sweep.name} -> {Path(sweep.output_dir) / sweep.name}",
        "task": sweep.task.type,
        "full run": f"{resolved.max_steps} optimizer steps",
        "trials": f"{stages.trials}: 1 canary, {searched} search, {reserved} confirmation",
        "horizon": f"{resolved.horizon} optimizer steps per trial, schedule {sweep.budget.schedule}",
        "learning rate": f"{rates.low:g} to {rates.high:g}, sampler {sweep.search.sampler}",
        "contexts": [context.label for context in resolved.contexts],
        "risk": f"failure probability <= {risk.max_failure_probability:g} ({risk.confidence:.0%} confidence)",
        "runs on": f"{sweep.resources.driver}, address {sweep.resources.address}",
        "caveats": list(resolved.caveats),
    }


def rebuild_reports(folder: Path) -> SweepResult:
    """Return a sweep's result as its study shows it, all report files written anew.

    Raises:
        UserError: the folder holds no sweep.
    """
    result = read_sweep(folder)
    _write(result)
    return result


def _tracker(sweep: Sweep, sweep_id: str, folder: Path) -> Tracker:
    from stabsearch.tracking import make_tracker

    return make_tracker(sweep, sweep_id, folder)


def _run(prepared: Prepared, folder: SweepFolder, view_for: ViewFor, command: str) -> SweepResult:
    study = _open_study(prepared, folder.path)
    _check_same(study, prepared)
    folder.write_resolved()
    study.keep_sweep(prepared.to_json())
    tracker = _tracker(prepared.sweep, study.sweep_id, folder.path)
    tracker.open()
    with view_for(prepared.sweep, len(study.records)) as view:
        campaign = _campaign(prepared, study, tracker, view)
        status, stopped = _driven(prepared, campaign)
        result = _result(prepared, study.records, folder.path, command)
        _write(result)
        delivery = tracker.close(study.records, result.answer, result.findings.frontier, status)
        if delivery.problem:
            view.message(f"MLflow: {delivery.problem}")
    if stopped is not None:
        raise stopped
    return replace(result, delivery=delivery)


def _check_same(study: SweepStudy, prepared: Prepared) -> None:
    """Raise when the study was made for another sweep: a database is not tied to a folder."""
    stored = study.sweep
    changed = difference(Prepared.from_json(stored).sweep, prepared.sweep) if stored else []
    if changed:
        raise UserError(f"the study of {prepared.sweep.name} was made for a different sweep: {changed[0]}",
                        "choose another name, or set it back", key=("name",))  # fmt: skip


def _driven(prepared: Prepared, campaign: Campaign) -> tuple[Any, BaseException | None]:
    """Run what is left; return how it ended, and what to raise once everything is written."""
    try:
        if campaign.has_work():
            _driver(prepared).run(campaign)
    except BaseException as stop:  # noqa: BLE001 - raised once everything is written
        return "KILLED" if isinstance(stop, KeyboardInterrupt) else "FAILED", stop
    return ("FAILED", campaign.problem) if campaign.problem else ("FINISHED", None)


def _driver(prepared: Prepared) -> Driver:
    from stabsearch.driver.base import WorkOrder
    from stabsearch.driver.factory import make_driver

    sweep = prepared.sweep
    return make_driver(sweep, WorkOrder(sweep.task, _trial_setup(prepared), sweep.budget.trial_timeout))


def _trial_setup(prepared: Prepared) -> Any:
    from stabsearch.trial.setup import TrialSetup

    sweep = prepared.sweep
    return TrialSetup(
        max_steps=prepared.resolved.max_steps,
        schedule=sweep.budget.schedule,
        training=sweep.training.arguments,
        rules=sweep.outcomes,
        allow_fp16_on_cpu=sweep.resources.allow_fp16_on_cpu,
        num_threads=max(1, int(sweep.resources.cpus_per_trial)),
    )


def _open_study(prepared: Prepared, folder: Path) -> SweepStudy:
    from stabsearch.search.samplers import make_sampler, sampler_seed
    from stabsearch.search.storage import open_storage
    from stabsearch.search.stored import study_name
    from stabsearch.search.study import SweepStudy, search_space

    sweep, resolved = prepared.sweep, prepared.resolved
    space = search_space(sweep.search, resolved.warmups)
    name = sweep.search.sampler

    def sampler_for(number: int, evidence: Any) -> Any:
        seed = sampler_seed(name, sweep.seed, number)
        risk = sweep.risk.max_failure_probability
        return make_sampler(name, seed, max_failure_probability=risk, search_space=space, evidence=evidence)

    url = sweep.study.storage
    return SweepStudy(
        open_storage(folder, url), space, sampler_for, seed=sweep.seed, horizon=resolved.horizon,
        rules=sweep.outcomes, name=study_name(sweep.name, url),
    )  # fmt: skip


def _campaign(
    prepared: Prepared, study: SweepStudy, tracker: Tracker | None = None, view: View | None = None
) -> Campaign:
    from stabsearch.search.campaign import Campaign, Stages

    def finished(record: TrialRecord) -> None:
        if tracker:
            tracker.record(record)
        if view:
            view.finished(record, campaign.frontier())

    stages = Stages(prepared.sweep.budget.trials, prepared.required)
    started = view.started if view else partial(_ignore)
    campaign = Campaign(
        study, prepared.sweep, prepared.resolved.contexts, stages, on_started=started, on_finished=finished
    )
    return campaign


def _ignore(_: Any) -> None:
    """Nobody watches."""


def _result(prepared: Prepared, records: Sequence[TrialRecord], folder: Path, command: str) -> SweepResult:
    from stabsearch.report.findings import Findings
    from stabsearch.report.recommended import recommended_arguments

    frontier = fitted(prepared.sweep, prepared.resolved.contexts, records)
    answer = conclude(records, frontier, prepared.terms)
    findings = Findings.of(prepared.sweep, records, frontier, answer, command=command, versions=versions())
    best = answer.recommendation
    arguments = recommended_arguments(prepared.sweep, best, answer.max_steps) if best else None
    return SweepResult(findings, trials_frame(records), frontier.table, arguments, folder)


def _write(result: SweepResult) -> None:
    from stabsearch.report.files import write_reports

    found = result.findings
    write_reports(
        result.folder,
        found.sweep,
        found.records,
        found.frontier,
        found.answer,
        command=found.command,
        versions=found.versions,
    )


def versions() -> dict[str, str]:
    """Return the versions of everything that decides a result."""
    names = ("stabsearch", "torch", "transformers", "accelerate", "optuna", "ray", "mlflow", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _nothing_shown(_: Sweep, __: int) -> View:
    from stabsearch.report.views import QuietView

    return QuietView()


@contextmanager
def _placed(source: Source) -> Iterator[None]:
    """Put file and line in front of what goes wrong inside."""
    try:
        yield
    except UserError as error:
        raise source.error(error) from None
