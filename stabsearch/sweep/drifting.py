"""Test with a handful of trials whether the frontier of a finished sweep still holds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.config import Sweep
from stabsearch.config.address import without_password
from stabsearch.config.load import LoadedSweep, load_sweep
from stabsearch.driver.interrupts import term_as_interrupt
from stabsearch.errors import ExitCode, UserError
from stabsearch.frontier.answer import Recommendation
from stabsearch.frontier.drift import TRIALS, Drift
from stabsearch.frontier.shift import read_at
from stabsearch.records import Cause, Grade, Outcome, TrialRecord
from stabsearch.search.folder import RESOLVED, Resume, SweepFolder
from stabsearch.search.holding import study_held
from stabsearch.search.storage import outage_is_said
from stabsearch.search.stored import study_name
from stabsearch.sweep.disk import DiskWatch, full_disk_is_said
from stabsearch.sweep.drift_places import DRIFT, DriftPlace, place_of
from stabsearch.sweep.prepared import Prepared, check_tracker, checked, placed
from stabsearch.sweep.reading import read_sweep, stored_end, stored_prepared
from stabsearch.sweep.result import installed_versions
from stabsearch.sweep.running import ViewFor, check_same, driven, nothing_shown, open_study, packed
from stabsearch.sweep.scratch import scratch
from stabsearch.tracking import make_tracker

if TYPE_CHECKING:
    from stabsearch.report.drift import DriftFindings
    from stabsearch.report.findings import Findings
    from stabsearch.report.views import View
    from stabsearch.search.drifting import DriftCampaign

_PEERS_SHARE = ("task", "training", "peft", "accumulation")
"""Parts of the sweep that decide what a loss means."""


@dataclass(frozen=True)
class Old:
    """The finished sweep whose frontier is tested."""

    folder: Path
    prepared: Prepared
    findings: Findings
    drift: Drift


def run_drift(
    folder: Path | str,
    *,
    sweep: Path | str | None = None,
    overrides: Sequence[str] = (),
    trials: int | None = None,
    max_risk: float | None = None,
    resume: Resume = "auto",
    view_for: ViewFor | None = None,
    command: str = "",
) -> DriftFindings:
    """Return whether the frontier of a finished sweep still holds, having run the trials that tell.

    Nothing that the old sweep left is changed: the drift is a study of its own below ``DIR/drift/``. The same
    call goes on with a drift that was interrupted or left it open; after a verdict it begins another one.

    Args:
        folder: of the finished sweep.
        sweep: file of the sweep as it is now; default: as the old one was resolved.
        overrides: ``key=value`` texts for what changed.
        trials: most that are run; default: 16.
        max_risk: failure probability that the frontier is read at; default: the old sweep's.
        resume: ``auto`` goes on with what was interrupted, ``must`` needs something to go on with, ``never``
            begins anew.
        view_for: makes what is shown while it runs; default: nothing.
        command: what the user typed; default: the program's own command line.

    Raises:
        UserError: something the user can put right; nothing was run.
        KeyboardInterrupt: stopped; the same call goes on where it stopped.
    """
    trials = TRIALS if trials is None else trials
    if trials < 1:
        raise UserError(f"--trials {trials}: a drift needs at least one", "16 are the default")
    old = read_old(Path(folder), max_risk)
    given = load_sweep(Path(sweep or old.folder / RESOLVED), overrides)
    place = place_of(old.folder, sweep_of_drift(given.sweep, old, trials), resume)
    loaded = LoadedSweep(place.sweep, given.source)
    with (
        placed(given.source), term_as_interrupt(), full_disk_is_said(place.folder),
        scratch() as temporary,
    ):  # fmt: skip
        target = SweepFolder(loaded.sweep)
        target.check()
        prepared = checked(loaded, is_begun=True)
        check_unchanged(old.prepared, prepared)
        check_tracker(prepared.sweep, target)
        url = prepared.sweep.study.storage
        with target.locked(), study_held(url, study_name(prepared.sweep.name, url)), outage_is_said(url):
            typed = without_password(command or " ".join(sys.argv))
            watch = DiskWatch(target.path, temporary, prepared.sweep.budget.disk_gib)
            job = _Job(old, place, given.sweep, prepared, target, watch, typed)
            return job.run(view_for or nothing_shown)


def read_old(folder: Path, max_risk: float | None = None) -> Old:
    """Return a finished sweep whose frontier can be tested.

    Raises:
        UserError: no sweep there, one that has not ended, one that recommends nothing, an impossible risk.
    """
    if max_risk is not None and not 0 < max_risk < 0.5:
        message = f"--max-risk {max_risk:g}: a failure probability above 0 and below 0.5 is needed"
        raise UserError(message, "0.05 allows one run in twenty to fail")
    found, prepared = read_sweep(folder).findings, stored_prepared(folder)
    if stored_end(folder) != "FINISHED":
        hint = f"`stabsearch run {folder / RESOLVED}` goes on with it"
        raise UserError(f"the sweep in {folder} has not ended: its frontier may still move", hint)
    frontier, best = found.frontier, found.answer.recommendation
    if max_risk is not None:
        frontier = read_at(frontier, max_risk, frontier.confidence)
        best = frontier.recommend()
    if best is None:
        why = frontier.why_not or found.answer.sentence
        raise UserError(f"the sweep in {folder} has no safe learning rate to test: {why}",
                        "change what its report names, and run a sweep")  # fmt: skip
    return Old(folder, prepared, found, Drift(frontier, best))


def sweep_of_drift(given: Sweep, old: Old, trials: int) -> Sweep:
    """Return the sweep of a drift but for its name, place and seed: what was changed, searched as before.

    Everything that decides what the old frontier is a frontier of stays: horizon, range, risk.
    """
    prior = type(given.search.prior)()
    rates = old.prepared.sweep.search.learning_rate
    budget = {"trials": trials, "horizon": old.prepared.resolved.horizon, "bridge_trials": 0}
    most = old.drift.frontier.max_failure_probability
    risk = old.prepared.sweep.risk.model_copy(
        update={"confirmation_trials": 0, "max_failure_probability": most}
    )
    update = {
        "search": given.search.model_copy(update={"prior": prior, "learning_rate": rates}),
        "budget": given.budget.model_copy(update=budget),
        "risk": risk,
    }
    return given.model_copy(update=update)


def check_unchanged(old: Prepared, new: Prepared) -> None:
    """Raise where the old frontier says nothing of what would be run now.

    Raises:
        UserError: other contexts, another schedule, or other thresholds of outcomes.
    """
    gone = [c.label for c in old.resolved.contexts if c not in new.resolved.contexts]
    if gone or len(old.resolved.contexts) != len(new.resolved.contexts):
        counts = f"{len(new.resolved.contexts)} contexts, and {len(old.resolved.contexts)} before"
        what = f"{gone[0]} is not searched any more" if gone else counts
        raise UserError(
            f"the search space changed: {what}",
            "set it back, or run a sweep of the new space",
            key=("search",),
        )
    for key, before, after in (
        ("budget.schedule", old.sweep.budget.schedule, new.sweep.budget.schedule),
        ("outcomes", old.sweep.outcomes, new.sweep.outcomes),
    ):
        if before != after:
            message = f"{key} changed: what counts as surviving is not what it was for the old frontier"
            raise UserError(message, "set it back, or run a sweep", key=tuple(key.split(".")))


@dataclass(frozen=True)
class _Job:
    """A drift that has passed every check and has spent nothing yet."""

    old: Old
    place: DriftPlace
    given: Sweep
    """As the user has it, before it was made a drift's."""
    prepared: Prepared
    target: SweepFolder
    watch: DiskWatch
    command: str

    def run(self, view_for: ViewFor) -> DriftFindings:
        """Return the result, everything written."""
        study = open_study(self.prepared, self.target.path)
        check_same(study, self.prepared)
        versions = installed_versions()
        with view_for(self.prepared.sweep, study.records) as view:
            prepared = replace(self.prepared, packing=packed(self.prepared, study, view))
            self.target.write_resolved()
            kept = {**prepared.to_json(), "command": self.command, "versions": versions}
            study.keep_sweep({**kept, DRIFT: str(self.old.folder)})
            study.keep_end("")
            tracker = make_tracker(prepared.sweep, study.sweep_id, self.target.path)
            tracker.open()
            campaign = self._campaign(study, view, tracker.record)
            status, stopped = driven(prepared, campaign, view)
            study.keep_end(status)
            result = self._result(campaign, versions)
            if stopped is None:
                _write(result)
            said = {} if stopped else _words(result)
            delivery = tracker.close(campaign.records, None, None, status, **said)
            if delivery.problem:
                view.message(f"MLflow: {delivery.problem}; the trials are whole in {self.target.path}")
        if stopped is not None:
            raise stopped
        _refuse_data_fault(result)
        return result

    def _campaign(self, study: Any, view: View, tracked: Callable[[TrialRecord], None]) -> DriftCampaign:
        from stabsearch.report.drift import progress
        from stabsearch.search.drifting import DriftCampaign

        def finished(record: TrialRecord) -> None:
            tracked(record)
            view.finished(record)
            view.message(progress(campaign.judged()))

        peers = self.peers
        campaign = DriftCampaign(
            study, self.prepared.sweep, self.old.drift, peers=peers,
            gentle=None if peers else gentle_rate(self.old.findings.records, self.old.drift.recommended),
            on_started=view.started, on_finished=finished, lack=self.watch.problem,
        )  # fmt: skip
        return campaign

    @property
    def peers(self) -> tuple[TrialRecord, ...]:
        """Return the old trials, where a loss of then means what a loss of now means; otherwise none."""
        before, now = self.old.prepared.sweep, self.prepared.sweep
        is_same = all(getattr(before, part) == getattr(now, part) for part in _PEERS_SHARE)
        return self.old.findings.records if is_same else ()

    def _result(self, campaign: DriftCampaign, versions: dict[str, str]) -> DriftFindings:
        from stabsearch.report.drift import DriftFindings

        found = self.old.findings
        now = replace(found, sweep=self.given, records=tuple(campaign.records), command=self.command,
                      versions=versions, diagnosis=None)  # fmt: skip
        budget = self.prepared.sweep.budget.trials
        return DriftFindings(
            self.place.folder, self.old.folder, self.old.drift, found, now, campaign.judged(), budget
        )


def gentle_rate(records: Sequence[TrialRecord], best: Recommendation) -> float | None:
    """Return the lowest learning rate at which a trial of the old sweep learned well, in the same context.

    None where nothing below the safe rate did.
    """
    learned = [
        record.plan.learning_rate
        for record in records
        if record.plan.context == best.context and record.grade is Grade.CLEAN
    ]
    lowest = min(learned, default=best.learning_rate)
    return lowest if lowest < best.learning_rate else None


def _write(result: DriftFindings) -> None:
    from stabsearch.records.frame import trials_frame
    from stabsearch.report.drift import drift_document, drift_markdown
    from stabsearch.report.files import write_atomically

    trials = trials_frame(result.now.records).to_csv(index=False, lineterminator="\n")
    for name, text in (
        ("trials.csv", trials), ("drift.md", drift_markdown(result)), ("drift.json", drift_document(result)),
    ):  # fmt: skip
        write_atomically(result.folder / name, text.encode())


def _words(result: DriftFindings) -> dict[str, str]:
    """Return what the tracker says of a drift that has ended."""
    from stabsearch.report.drift import next_step_of, sentences

    return {"sentence": sentences(result)[0], "next_step": next_step_of(result)}


def _refuse_data_fault(result: DriftFindings) -> None:
    """Raise where a trial met data that break training whatever the hyperparameters are."""
    faults = [record for record in result.now.records if record.outcome is Outcome.DATA_FAULT]
    if not faults:
        return
    what = "data" if faults[0].cause is Cause.DATA else "loss or the first weights"
    message = f"trial {faults[0].plan.number}: the {what} are at fault: {faults[0].message}"
    raise UserError(message, "mend it, then test the frontier again", exit_code=ExitCode.AGAINST)
