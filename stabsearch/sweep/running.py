"""Run a sweep from its file to its answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.config import Sweep
from stabsearch.config.address import without_password
from stabsearch.config.load import LoadedSweep, load_sweep
from stabsearch.config.paths import resolve_paths
from stabsearch.config.source import Source
from stabsearch.config.write import difference
from stabsearch.driver.interrupts import term_as_interrupt
from stabsearch.errors import UserError
from stabsearch.frontier.hints import hint_from_json
from stabsearch.search.campaign import hints_of
from stabsearch.search.folder import Resume, SweepFolder
from stabsearch.search.holding import study_held
from stabsearch.search.storage import outage_is_said
from stabsearch.search.stored import study_name
from stabsearch.sweep.diagnosing import explain, worst_trial
from stabsearch.sweep.diagnosis_file import ASKS_WHY, stored_diagnosis, write_diagnosis
from stabsearch.sweep.disk import DiskWatch, full_disk_is_said
from stabsearch.sweep.onlooker import onlooker, told_of
from stabsearch.sweep.packing import packing_of
from stabsearch.sweep.prepared import Prepared, check_tracker, checked, placed
from stabsearch.sweep.result import SweepResult, installed_versions, result_of, write
from stabsearch.sweep.scratch import scratch
from stabsearch.sweep.setting_up import trial_driver, trial_setup
from stabsearch.tracking import make_tracker

if TYPE_CHECKING:
    from stabsearch.driver.packing import Packing
    from stabsearch.frontier.hints import PriorHint
    from stabsearch.records import TrialRecord
    from stabsearch.report.views import View
    from stabsearch.search.campaign import Campaign
    from stabsearch.search.study import SweepStudy
    from stabsearch.sweep.onlooker import Onlooker
    from stabsearch.tracking import Tracker

ViewFor = Callable[[Sweep, Sequence["TrialRecord"]], "View"]
"""Sweep and its trials that have ended before -> what is shown while it runs."""


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
        overrides: ``key=value`` texts for a file, as ``--set`` takes them; a sweep made in Python
            takes none, and its relative paths start at the current folder.
        resume: ``auto`` goes on with an interrupted sweep, ``must`` needs one, ``never`` refuses one.
        view_for: makes what is shown while it runs; default: nothing is shown.
        command: what the user typed, for the report; default: the program's own command line.

    Raises:
        UserError: something the user can put right; nothing was overwritten.
        KeyboardInterrupt: stopped; the same call goes on where it stopped.
    """
    loaded = _loaded(sweep, overrides)
    folder = SweepFolder(loaded.sweep, resume)
    with placed(loaded.source), term_as_interrupt(), full_disk_is_said(folder.path), scratch() as temporary:
        folder.check()
        prepared = checked(loaded, is_begun=folder.holds_a_sweep)
        check_tracker(prepared.sweep, folder)
        url = prepared.sweep.study.storage
        with folder.locked(), study_held(url, study_name(prepared.sweep.name, url)), outage_is_said(url):
            typed = without_password(command or " ".join(sys.argv))
            watch = DiskWatch(folder.path, temporary, prepared.sweep.budget.disk_gib)
            return _run(prepared, folder, watch, view_for or nothing_shown, typed)


def _loaded(sweep: Path | str | Sweep, overrides: Sequence[str]) -> LoadedSweep:
    if not isinstance(sweep, Sweep):
        return load_sweep(Path(sweep), overrides)
    if overrides:
        raise ValueError("overrides go with a sweep file; change the Sweep itself")
    return LoadedSweep(resolve_paths(sweep, Path.cwd()), Source())


def _run(
    prepared: Prepared, folder: SweepFolder, watch: DiskWatch, view_for: ViewFor, command: str
) -> SweepResult:
    study = open_study(prepared, folder.path)
    check_same(study, prepared)
    versions = installed_versions()
    with view_for(prepared.sweep, study.records) as view:
        prepared = replace(prepared, packing=packed(prepared, study, view))
        prepared = replace(prepared, hints=_known(prepared, study))
        folder.write_resolved()
        study.keep_sweep({**prepared.to_json(), "command": command, "versions": versions})
        study.keep_end("")
        tracker = make_tracker(prepared.sweep, study.sweep_id, folder.path)
        tracker.open()
        for finding in prepared.findings:
            view.message(f"{finding.rule}: {finding.message}")
        num_before = len(study.records)
        with onlooker(prepared, told_of(prepared, view, tracker), view.message) as looking:
            campaign = _campaign(prepared, study, watch, tracker, view, looking)
            status, stopped = driven(prepared, campaign, view)
        study.keep_end(status)
        result = result_of(prepared, study.records, folder.path, command=command, versions=versions)
        write(result)
        if stopped is None:
            result, stopped = _explained(result, prepared, view, is_new=len(study.records) > num_before)
        delivery = tracker.close(
            study.records, result.answer, result.findings.frontier, status, next_step=result.next_step
        )
        if delivery.problem:
            view.message(
                f"MLflow: {delivery.problem}; stabsearch report {folder.path} --sync delivers what is missing"
            )
    if stopped is not None:
        raise stopped
    return replace(result, delivery=delivery, disk=watch.use)


def _explained(
    result: SweepResult, prepared: Prepared, view: View, is_new: bool
) -> tuple[SweepResult, BaseException | None]:
    """Return the result with the cause named, where nothing safe was found, and what interrupted that.

    The answer stands without it and has been written: nothing that goes wrong here takes it away.
    """
    worst = worst_trial(result.findings.records)
    if result.answer.verdict not in ASKS_WHY or worst is None:
        return result, None
    known = None if is_new else stored_diagnosis(result.folder)
    try:
        if known is None:
            view.message("looking for the cause: the debugging ladder")
            known = write_diagnosis(explain(prepared, worst, result.folder), result.folder)
    except KeyboardInterrupt as stop:
        return result, stop
    except Exception as error:  # noqa: BLE001 - the answer is there, only its reason is not
        view.message(f"no cause could be looked for: {type(error).__name__}: {error}")
        return result, None
    result = result.explained(known)
    write(result)
    return result, None


def check_same(study: SweepStudy, prepared: Prepared) -> None:
    """Raise when the study was made for another sweep: a database is not tied to a folder."""
    stored = study.sweep
    changed = difference(Prepared.from_json(stored).sweep, prepared.sweep) if stored else []
    if changed:
        raise UserError(f"the study of {prepared.sweep.name} was made for a different sweep: {changed[0]}",
                        "choose another name, or set it back", key=("name",))  # fmt: skip


def driven(prepared: Prepared, campaign: Campaign, view: View) -> tuple[Any, BaseException | None]:
    """Run what is left; return how it ended, and what to raise once everything is written."""
    try:
        if campaign.has_work():
            on_progress = view.progress if view.is_watched else None
            trial_driver(prepared, on_progress=on_progress).run(campaign)
    except BaseException as stop:  # noqa: BLE001 - raised once everything is written
        return "KILLED" if isinstance(stop, KeyboardInterrupt) else "FAILED", stop
    return ("FAILED", campaign.problem) if campaign.problem else ("FINISHED", None)


def open_study(prepared: Prepared, folder: Path) -> SweepStudy:
    """Return the study of a sweep, made where there is none, with the sampler that the sweep names."""
    from stabsearch.search.readable import readable
    from stabsearch.search.samplers import make_sampler, sampler_seed
    from stabsearch.search.storage import open_storage
    from stabsearch.search.stored import checked_sweep
    from stabsearch.search.study import SweepStudy, search_space

    sweep, resolved = prepared.sweep, prepared.resolved
    space = search_space(sweep.search, resolved.warmups)
    name = sweep.search.sampler

    def sampler_for(number: int, evidence: Any) -> Any:
        seed = sampler_seed(name, sweep.seed, number)
        risk = sweep.risk.max_failure_probability
        known = tuple(map(hint_from_json, (study.sweep or {}).get("hints", ())))
        return make_sampler(
            name, seed, max_failure_probability=risk, search_space=space, evidence=evidence,
            goal=sweep.search.goal, hints=hints_of(sweep, known, study.raw_records),
        )  # fmt: skip

    url = sweep.study.storage
    storage, named = open_storage(folder, url), study_name(sweep.name, url)
    if (stored := checked_sweep(storage, named)) is not None:
        Prepared.from_json(stored)
    with readable(str(folder)):
        study = SweepStudy(
            storage, space, sampler_for, seed=sweep.seed, horizon=resolved.horizon, rules=sweep.outcomes,
            name=named,
        )  # fmt: skip
    return study


def _known(prepared: Prepared, study: SweepStudy) -> tuple[PriorHint, ...]:
    """Return what is known of frontiers beforehand; a resumed sweep goes on with what it began with."""
    if study.sweep is not None:
        return Prepared.from_json(study.sweep).hints
    if not prepared.sweep.search.prior.sharpness:
        return prepared.hints
    from stabsearch.sweep.beforehand import measured_hints

    return *prepared.hints, *measured_hints(prepared, trial_setup(prepared))


def packed(prepared: Prepared, study: SweepStudy, view: View) -> Packing | None:
    """Return how many trials at a time are best here; a resumed sweep goes on as it began, if it has room."""
    if prepared.sweep.resources.packing is None:
        return None
    known = Prepared.from_json(study.sweep).packing if study.sweep else None
    if known is not None and known.has_room():
        return known
    view.message("packing: trials are run side by side, to see how many at a time are best")
    packing = packing_of(prepared)
    view.message(packing.sentence())
    return packing


def _campaign(
    prepared: Prepared, study: SweepStudy, watch: DiskWatch, tracker: Tracker, view: View,
    looking: Onlooker | None = None,
) -> Campaign:  # fmt: skip
    from stabsearch.search.campaign import Campaign

    def finished(record: TrialRecord) -> None:
        tracker.record(record)
        view.finished(record)
        if looking:
            looking.see(study.records)

    if looking:
        looking.see(study.records)
    return Campaign(
        study, prepared.sweep, prepared.resolved.contexts, prepared.stages,
        on_started=view.started, on_finished=finished, lack=watch.problem, hints=prepared.hints,
    )  # fmt: skip


def nothing_shown(*_: object) -> View:
    """Return a view that shows nothing."""
    from stabsearch.report.views import QuietView

    return QuietView()
