"""Why a sweep found nothing safe: its worst trial, up the debugging ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.config.load import load_sweep
from stabsearch.records import Cause, Outcome, Stage, TrialPlan, TrialRecord
from stabsearch.search.canary import canary_plan
from stabsearch.search.folder import SweepFolder
from stabsearch.sweep.prepared import Prepared, placed, resolved_with
from stabsearch.sweep.scratch import scratch
from stabsearch.sweep.setting_up import BAD_BATCHES, trial_driver, trial_setup

if TYPE_CHECKING:
    from stabsearch.forensics.diagnosis import Diagnosis
    from stabsearch.forensics.finding import Finding
    from stabsearch.task.base import Workload


def diagnose_sweep(sweep: Path | str, overrides: Sequence[str] = ()) -> Diagnosis:
    """Return why a sweep's trials fail: of the worst it has run, or of its canary.

    Args:
        sweep: the file; it may have run before, or not.
        overrides: ``key=value`` texts, as ``--set`` takes them.

    Raises:
        UserError: sweep, data or model cannot be read at all.
    """
    from stabsearch.forensics.ladder import Case, diagnose, from_findings
    from stabsearch.forensics.preflight import preflight

    loaded = load_sweep(Path(sweep), overrides)
    with placed(loaded.source):
        SweepFolder(loaded.sweep).check()
        found = preflight(loaded.sweep, asks_for_devices=False)
        if found.workload is None or any(finding.is_fault for finding in found.findings):
            return from_findings(found.findings)
        prepared = resolved_with(loaded, found)
        folder = Path(loaded.sweep.output_dir) / loaded.sweep.name
        worst = worst_trial(_records_in(folder))
        if worst is not None:
            return explain(prepared, worst, folder, found.findings, found.workload)
        plan = canary_plan(prepared.sweep, prepared.resolved.contexts, prepared.resolved.horizon)
        case = Case(found.workload, plan, local(prepared))
        return diagnose(case, found.findings)


def explain(
    prepared: Prepared,
    worst: TrialRecord,
    folder: Path,
    findings: Sequence[Finding] | None = None,
    workload: Workload | None = None,
) -> Diagnosis:
    """Return the cause of a trial's failure, with evidence and advice.

    Args:
        prepared: the sweep.
        worst: a trial of it that failed.
        folder: of the sweep.
        findings: of a preflight, where one was made just now.
        workload: of the same preflight.
    """
    from stabsearch.forensics.ladder import Case, diagnose
    from stabsearch.task.registry import build_workload

    bundle = folder / BAD_BATCHES / worst.bundle if worst.bundle else None
    if worst.plan.precision == "tf32":  # which no CPU has; what is said of it here is said of fp32
        worst = replace(worst, plan=replace(worst.plan, precision="fp32"))
    if workload is None:
        workload = build_workload(prepared.sweep.task, peft=prepared.sweep.peft)
    case = Case(workload, worst.plan, local(prepared), worst, bundle)
    return diagnose(case, prepared.findings if findings is None else findings)


def worst_trial(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the trial that most needs an explanation; None when nothing failed.

    Faults of data or loss first, then the canary, then the failure at the lowest learning rate; among
    failures of one rate the one whose bad batch is kept.
    """
    records = [record for record in records if record.plan.stage is not Stage.RAMP]
    failed = [
        record for record in records if record.outcome.is_failure or record.outcome is Outcome.DATA_FAULT
    ]
    failed += [record for record in records if record.cause is Cause.HARDWARE_OR_NONDETERMINISM]
    return min(failed, key=_urgency, default=None)


def _urgency(record: TrialRecord) -> tuple[bool, bool, float, bool]:
    return (
        record.outcome is not Outcome.DATA_FAULT,
        record.plan.stage is not Stage.CANARY,
        record.plan.learning_rate,
        not record.bundle,
    )


def local(prepared: Prepared) -> Any:
    """Return the trials' setup for this machine: the ladder climbs on the CPU."""
    sweep = prepared.sweep
    return replace(trial_setup(prepared), on_gpu=False, allow_fp16_on_cpu="fp16" in sweep.search.precision)


def run_canary(prepared: Prepared) -> TrialRecord:
    """Return what came of the conservative baseline, run where trials run; nothing is recorded or kept."""
    resolved = prepared.resolved
    source = _Once(canary_plan(prepared.sweep, resolved.contexts, resolved.horizon), prepared)
    with scratch():
        trial_driver(prepared, keeps_bundles=False).run(source)
    assert source.record is not None, "a driver gives one record per plan"
    return source.record


class _Once:
    """A source of one trial."""

    def __init__(self, plan: TrialPlan, prepared: Prepared) -> None:
        self._waiting: TrialPlan | None = plan
        self._attempts = prepared.sweep.budget.trial_attempts
        self.record: TrialRecord | None = None

    def next_plan(self) -> TrialPlan | None:
        """Return the trial, once."""
        plan, self._waiting = self._waiting, None
        return plan

    def most_left(self) -> int:
        """Return none: there is one trial."""
        return 0

    def finished(self, record: TrialRecord) -> None:
        """Keep its record."""
        self.record = record

    def lost(self, plan: TrialPlan, reason: str, *, by_node: bool = False) -> None:
        """Start it again, or give it up."""
        self._attempts -= 1
        if self._attempts > 0:
            self._waiting = plan
        else:
            self.record = TrialRecord(plan, Outcome.LOST, cause=Cause.UNKNOWN, message=reason)


def _records_in(folder: Path) -> list[TrialRecord]:
    from stabsearch.errors import UserError
    from stabsearch.sweep.reading import read_sweep

    try:
        return list(read_sweep(folder).findings.records)
    except UserError:
        return []  # it has not run yet
