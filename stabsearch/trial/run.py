"""One plan in, one record out: always, whatever happens inside."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from stabsearch.errors import UserError
from stabsearch.records import Cause, Outcome, TrialPlan, TrialRecord
from stabsearch.task.base import surroundings_of
from stabsearch.trial.ended import Ended
from stabsearch.trial.ending import decided, raised
from stabsearch.trial.evaluating import evaluated
from stabsearch.trial.gauge import Gauge
from stabsearch.trial.live import LiveTrial, set_up
from stabsearch.trial.machine import machine, worker
from stabsearch.trial.not_applied import SettingsNotApplied
from stabsearch.trial.precision import matmul_precision
from stabsearch.trial.same_seed import check_same_seed
from stabsearch.trial.switches import reset_switches
from stabsearch.trial.temporary import temporary_folder

if TYPE_CHECKING:
    from stabsearch.task.base import Workload
    from stabsearch.trial.setup import TrialSetup


def run_trial(plan: TrialPlan, workload: Workload, setup: TrialSetup) -> TrialRecord:
    """Return the record of one trial: a prefix of the full run, guarded, stopped at its horizon.

    Divergence is a result. Anything else that goes wrong becomes a record under its own name;
    only ``KeyboardInterrupt`` and ``SystemExit`` pass.
    """
    return run_trial_of(plan, lambda: workload, setup)


def run_trial_of(
    plan: TrialPlan, build: Callable[[], Workload], setup: TrialSetup, gauge: Gauge | None = None
) -> TrialRecord:
    """Return the record of one trial on a workload that may still have to be built.

    Args:
        plan: of the trial.
        build: returns the workload.
        setup: what all trials of the sweep have in common.
        gauge: shows other threads meanwhile how far it is.
    """
    return trial_ended(plan, build, setup, gauge).record


def trial_ended(
    plan: TrialPlan, build: Callable[[], Workload], setup: TrialSetup, gauge: Gauge | None = None
) -> Ended:
    """Return what became of a trial, and whether an error ended it where it stood."""
    gauge = gauge or Gauge()
    trial = _Trial(plan, setup, TrialRecord(plan, Outcome.CRASHED, started_at=time.time()), gauge)
    try:
        ended = trial.run(build)
    except Exception as error:  # noqa: BLE001 - the one place where a trial's crash becomes a record
        ended = Ended(trial.broken(error), has_raised=True)
    del trial
    gauge.hide()
    _free()
    return ended


@dataclass
class _Trial:
    """A trial in the making; ``record`` is what can be said of it if it crashes now."""

    plan: TrialPlan
    setup: TrialSetup
    blank: TrialRecord
    gauge: Gauge
    live: LiveTrial | None = None
    workload: Workload | None = None

    @property
    def record(self) -> TrialRecord:
        return self.live.seen(self.blank) if self.live else self.blank

    def run(self, build: Callable[[], Workload]) -> Ended:
        torch.set_num_threads(self.setup.num_threads)
        self.blank = replace(self.blank, machine=machine(), worker=worker())
        self.workload = workload = build()
        reset_switches()  # after modules of the user's are imported: what these set is meant for all trials
        self.blank = replace(self.blank, chance_loss=self.setup.chance_loss_of(workload))
        with (
            surroundings_of(workload),
            matmul_precision(self.plan.precision),
            temporary_folder() as folder,
        ):
            self.live = set_up(self.plan, workload, self.setup, str(folder))
            check_same_seed(workload, self.plan, self.live.initial_weights)
            self.live.train(self.gauge)
            record = decided(self.record, self.live, workload, self.setup)
            return evaluated(record, self.live, workload)

    def broken(self, error: Exception) -> TrialRecord:
        """Return the record of a trial that raised: what its batch did wrong is asked, once."""
        record, live, workload = _broken(self.record, error), self.live, self.workload
        self.live = None
        if record.outcome is Outcome.OOM or live is None or workload is None or isinstance(error, UserError):
            return record
        try:
            with surroundings_of(workload):
                return raised(record, live, workload, self.setup, error)
        except Exception:  # noqa: BLE001 - a crash that cannot be explained is still a crash
            return record


def _broken(record: TrialRecord, error: Exception) -> TrialRecord:
    outcome = Outcome.OOM if _is_out_of_memory(error) else Outcome.CRASHED
    cause = Cause.SETTINGS_NOT_APPLIED if isinstance(error, SettingsNotApplied) else Cause.UNKNOWN
    return replace(record, outcome=outcome, cause=cause, message=_message(error))


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out; only CUDA's own allocator says so by the error's type."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    signs = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def _message(error: Exception) -> str:
    """Return one line: what was raised, and where."""
    if isinstance(error, UserError):
        return error.message
    text = str(error).strip().partition("\n")[0] or "no message"
    place = traceback.extract_tb(error.__traceback__)[-1]
    file = place.filename.rpartition("/")[2]
    return f"{type(error).__name__}: {text} ({file}:{place.lineno} in {place.name})"


def _free() -> None:
    gc.collect()  # a Trainer and its model are in reference cycles
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
