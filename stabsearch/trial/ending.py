"""How a trial ended: settings that were not applied first, then what broke, then what finished."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stabsearch.capture.store import BundleStore
from stabsearch.capture.weights import nonfinite_weights
from stabsearch.records import Cause, Outcome, TrialRecord
from stabsearch.trial.attribution import Attribution, attribute, attribute_error, is_bad_alone
from stabsearch.trial.effective import differences
from stabsearch.trial.keeping import Told, keep_bundle
from stabsearch.trial.precision import put_into

if TYPE_CHECKING:
    from stabsearch.task.base import Workload
    from stabsearch.trial.judge import Finding
    from stabsearch.trial.live import LiveTrial
    from stabsearch.trial.setup import TrialSetup

A_PART_ONLY = "; each process holds a part of the weights: only the initial ones were asked, nothing is kept"
MAX_ROWS = 8  # row numbers in a message; all of them are in the record


def decided(record: TrialRecord, live: LiveTrial, workload: Workload, setup: TrialSetup) -> TrialRecord:
    """Return the record of a trial that has trained, with its outcome.

    Of several processes one speaks for all, and all return its record: the first whose own numbers were
    bad, for it has the rows and the random numbers that explain them.
    """
    ranks = live.guard.ranks
    speaker = _speaker(live)
    if ranks.index == speaker:
        record = _decided(record, live, workload, setup)
    return ranks.told_by(speaker, record)


def _speaker(live: LiveTrial) -> int:
    ranks, bad = live.guard.ranks, live.guard.log.bad
    if ranks.number == 1 or (bad and bad.process is not None):
        return bad.process or 0 if bad else 0
    is_explained = bool(bad) or (live.finding and live.finding.outcome is Outcome.SCALE_FLOOR)
    return ranks.first(is_bad_alone(live.guard) if is_explained else bool(_spoiled(live)))


def _decided(record: TrialRecord, live: LiveTrial, workload: Workload, setup: TrialSetup) -> TrialRecord:
    """Return the record with what came of the trial.

    A trial that did not run as planned is no measurement, whatever it showed.
    """
    if record.effective:
        wrong = differences(record.plan, setup, record.effective, live.learning_rates)
        if wrong:
            return _crashed(record, "; ".join(wrong), Cause.SETTINGS_NOT_APPLIED)
    bad = live.guard.log.bad
    if bad:
        record = replace(record, first_bad_step=bad.step, message=bad.message)
        attribution, note = _asked(live, workload, record, Outcome.NONFINITE)
        record = replace(record, message=record.message + note)
        return _attributed(record, live, workload, setup, attribution)
    if live.finding:
        return _found(record, live, workload, setup, live.finding)
    return _finished(record, live)


def raised(
    record: TrialRecord, live: LiveTrial, workload: Workload, setup: TrialSetup, error: Exception
) -> TrialRecord:
    """Return the record of a trial whose training raised: a crash, unless its batch is to blame.

    Args:
        record: of the crash, with its message.
        live: the trial, as far as it came.
        workload: gives the initial weights.
        setup: says where its bad batch may be kept.
        error: what was raised.
    """
    attribution = attribute_error(live.guard, workload, record.plan, error)
    if attribution.outcome is Outcome.CRASHED:
        return record
    record = replace(record, first_bad_step=live.guard.log.step)
    return _attributed(record, live, workload, setup, attribution, error=record.message)


def _asked(
    live: LiveTrial, workload: Workload, record: TrialRecord, failure: Outcome
) -> tuple[Attribution, str]:
    """Return what the replays say; where they cannot be made the failure stands, with a note why."""
    try:
        return attribute(live.guard, workload, record.plan, failure), ""
    except Exception as error:  # noqa: BLE001 - what was measured must not be lost to what explains it
        reason = (str(error).strip() or "no message").splitlines()[0]
        note = f"; its cause could not be looked for: {type(error).__name__}: {reason}"
        return Attribution(failure, Cause.UNKNOWN), note


def _attributed(
    record: TrialRecord, live: LiveTrial, workload: Workload, setup: TrialSetup, attribution: Attribution,
    error: str = "",
) -> TrialRecord:  # fmt: skip
    """Return the record with outcome, cause and guilty rows, its bad batch kept where there is room."""
    bundle = ""
    if setup.bundle_dir and not live.guard.ranks.is_sharded:
        initial = workload.model(record.plan.model_seed)
        put_into(initial, record.plan.precision)  # as the trial began
        told = Told(attribution, initial=initial, plan=asdict(record.plan), error=error,
                    trust_remote_code=setup.trust_remote_code)  # fmt: skip
        store = BundleStore(Path(setup.bundle_dir), setup.max_bundle_bytes)
        kept = keep_bundle(live.guard, store, f"{record.plan.number:04d}", told)
        bundle = kept.folder.name if kept.folder else ""
    suspects = attribution.suspects
    is_named = suspects.is_specific or attribution.cause is Cause.DATA
    rows = suspects.rows if is_named else ()
    limits = A_PART_ONLY if live.guard.ranks.is_sharded else ""
    return replace(
        record, outcome=attribution.outcome, cause=attribution.cause, suspect_rows=rows, bundle=bundle,
        message=record.message + _named(rows, suspects.is_specific) + limits,
    )  # fmt: skip


def _named(rows: tuple[int, ...], is_specific: bool) -> str:
    if not rows:
        return ""
    if not is_specific:
        return f"; so is every row of its batch by itself, training rows {rows[0]} and {len(rows) - 1} others"
    shown = ", ".join(map(str, rows[:MAX_ROWS])) + (" ..." if len(rows) > MAX_ROWS else "")
    return f"; without training row{'s' if len(rows) > 1 else ''} {shown} the batch is sound"


def _found(
    record: TrialRecord, live: LiveTrial, workload: Workload, setup: TrialSetup, finding: Finding
) -> TrialRecord:
    record = replace(record, first_bad_step=finding.step, message=finding.message)
    if finding.outcome is not Outcome.SCALE_FLOOR:
        return replace(record, outcome=finding.outcome, cause=Cause.LEARNING_RATE)
    attribution, note = _asked(live, workload, record, finding.outcome)
    record = replace(record, message=record.message + note)
    if attribution.cause is Cause.LEARNING_RATE:
        # every gradient is finite with a loss scale of 1: it is the scaling that never settled
        attribution = replace(attribution, cause=Cause.PRECISION_AFTER_DRIFT)
    return _attributed(record, live, workload, setup, attribution)


def _spoiled(live: LiveTrial) -> list[str]:
    return nonfinite_weights(live.guard.trainer.model)


def _finished(record: TrialRecord, live: LiveTrial) -> TrialRecord:
    horizon, bad = record.plan.horizon, _spoiled(live)
    if bad:
        message = f"{len(bad)} weight tensors are not finite after the last step, first {bad[0]}"
        return replace(
            record, outcome=Outcome.NONFINITE, cause=Cause.LEARNING_RATE,
            first_bad_step=record.steps, message=message,
        )  # fmt: skip
    if record.steps != horizon:
        return _crashed(record, f"training ended at step {record.steps}, and not at its horizon {horizon}")
    return replace(record, outcome=Outcome.STABLE, message=f"finite for {record.steps} steps")


def _crashed(record: TrialRecord, message: str, cause: Cause = Cause.UNKNOWN) -> TrialRecord:
    return replace(record, outcome=Outcome.CRASHED, cause=cause, message=message)
