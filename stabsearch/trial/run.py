"""One plan in, one record out: always, whatever happens inside."""

from __future__ import annotations

import gc
import math
import platform
import socket
import tempfile
import time
import traceback
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import TrainerCallback, set_seed

from stabsearch.errors import UserError
from stabsearch.records import Cause, Outcome, TrialPlan, TrialRecord
from stabsearch.trial.arguments import trial_arguments
from stabsearch.trial.attribution import attribute
from stabsearch.trial.effective import AutocastProbe, differences, read_back
from stabsearch.trial.guard import GuardLog
from stabsearch.trial.judge import Finding, Judge
from stabsearch.trial.precision import enable_fp16_on_cpu, matmul_precision
from stabsearch.trial.watch import Guard, TrainingBroke
from stabsearch.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from stabsearch.task.base import Workload
    from stabsearch.trial.setup import TrialSetup


class _Failed(Exception):  # noqa: N818 - unwinds the Trainer's loop, never leaves this module
    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class _Clock(TrainerCallback):  # type: ignore[misc]
    """Stops the trial at its horizon and knows when the first step began."""

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon
        self.first_step_at: float | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.first_step_at = self.first_step_at or time.time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= self.horizon:
            control.should_training_stop = True


@dataclass
class _LiveTrial:
    """A trial that has been set up: everything that reading its result needs."""

    guard: Guard
    clock: _Clock
    probe: AutocastProbe


def run_trial(plan: TrialPlan, workload: Workload, setup: TrialSetup) -> TrialRecord:
    """Return the record of one trial: a prefix of the full run, guarded, stopped at its horizon.

    Divergence is a result. Anything else that goes wrong becomes a record under its own name;
    only ``KeyboardInterrupt`` and ``SystemExit`` pass.
    """
    started = time.time()
    blank = TrialRecord(plan, Outcome.CRASHED, chance_loss=workload.chance_loss, started_at=started, machine=machine())
    torch.set_num_threads(setup.num_threads)
    try:
        with matmul_precision(plan.precision), tempfile.TemporaryDirectory(prefix="stabsearch-") as folder:
            record = _train(plan, workload, setup, folder, blank)
    except torch.OutOfMemoryError as error:
        record = replace(blank, outcome=Outcome.OOM, cause=Cause.UNKNOWN, message=_first_line(error))
    except Exception as error:  # noqa: BLE001 - the one place where a trial's crash becomes a record
        record = replace(blank, cause=Cause.UNKNOWN, message=_crash(error))
    _free()
    return record


def run_trial_of(plan: TrialPlan, build: Callable[[], Workload], setup: TrialSetup) -> TrialRecord:
    """Return the record of one trial on a workload that may still have to be built."""
    try:
        workload = build()
    except Exception as error:  # noqa: BLE001 - a workload that cannot be built is a crash of the trial
        return TrialRecord(plan, Outcome.CRASHED, cause=Cause.UNKNOWN, message=_crash(error), started_at=time.time())
    return run_trial(plan, workload, setup)


def _train(plan: TrialPlan, workload: Workload, setup: TrialSetup, folder: str, blank: TrialRecord) -> TrialRecord:
    live = _set_up(plan, workload, setup, folder)
    finding: Finding | None = None
    broke = False
    try:
        set_seed(plan.model_seed)
        live.guard.trainer.train()
    except TrainingBroke:
        broke = True
    except _Failed as failed:
        finding = failed.finding
    ended = time.time()
    first_step = live.clock.first_step_at or ended
    log = live.guard.log
    record = replace(
        blank,
        steps=len(log.losses) - (log.bad is not None),
        trace=log.trace(),
        skipped_steps=sum(log.skipped),
        clipped_share=_clipped_share(log, plan.max_grad_norm),
        effective=read_back(live.guard, live.probe) if log.micro_batches else None,
        startup_s=first_step - blank.started_at,
        train_s=ended - first_step,
    )
    return _decided(record, live, workload, setup, finding, broke)


def _set_up(plan: TrialPlan, workload: Workload, setup: TrialSetup, folder: str) -> _LiveTrial:
    trainer = workload.trainer(trial_arguments(plan, setup, folder), plan.model_seed)
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    if plan.precision == "fp16" and setup.allow_fp16_on_cpu:
        enable_fp16_on_cpu(trainer)
    judge = Judge(setup.rules, plan.horizon, workload.chance_loss)

    def on_update(log: GuardLog) -> None:
        finding = judge.see(log.losses[-1], log.skipped[-1], log.loss_scales[-1])
        if finding:
            raise _Failed(finding)

    guard = Guard(trainer, on_update)
    clock = _Clock(plan.horizon)
    trainer.add_callback(clock)
    return _LiveTrial(guard, clock, AutocastProbe(trainer.model, trainer.args.device.type))


def _decided(
    record: TrialRecord, live: _LiveTrial, workload: Workload, setup: TrialSetup, finding: Finding | None, broke: bool
) -> TrialRecord:
    """Return the record with its outcome; settings that were not applied come before everything."""
    plan, log = record.plan, live.guard.log
    if record.effective:
        wrong = differences(plan, setup, record.effective, record.steps)
        if wrong:
            return replace(record, outcome=Outcome.CRASHED, cause=Cause.SETTINGS_NOT_APPLIED,
                           message="; ".join(wrong))  # fmt: skip
    if broke and log.bad:
        outcome, cause = attribute(live.guard, workload, plan)
        return replace(record, outcome=outcome, cause=cause, first_bad_step=log.bad.step, message=log.bad.message)
    if finding:
        cause = Cause.PRECISION_AFTER_DRIFT if finding.outcome is Outcome.SCALE_FLOOR else Cause.LEARNING_RATE
        return replace(record, outcome=finding.outcome, cause=cause, first_bad_step=finding.step, message=finding.message)
    return _finished(record, live)


def _finished(record: TrialRecord, live: _LiveTrial) -> TrialRecord:
    plan, model = record.plan, live.guard.trainer.model
    bad = [name for name, p in model.named_parameters() if not bool(torch.isfinite(p).all())]
    if bad:
        return replace(record, outcome=Outcome.NONFINITE, cause=Cause.LEARNING_RATE, first_bad_step=record.steps,
                       message=f"{len(bad)} weight tensors are not finite after the last step, first {bad[0]}")  # fmt: skip
    if record.steps < plan.horizon:
        return replace(record, outcome=Outcome.CRASHED, cause=Cause.UNKNOWN,
                       message=f"training ended by itself at step {record.steps}, before its horizon {plan.horizon}")  # fmt: skip
    return replace(record, outcome=Outcome.STABLE, message=f"finite for {record.steps} steps")


def _clipped_share(log: GuardLog, max_grad_norm: float) -> float:
    norms = [norm for norm in log.grad_norms if math.isfinite(norm)]
    if not max_grad_norm or not norms:
        return 0.0 if norms else math.nan
    return sum(norm > max_grad_norm for norm in norms) / len(norms)


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return f"{type(error).__name__}: {text.splitlines()[0]}"


def _crash(error: Exception) -> str:
    if isinstance(error, UserError):
        return error.message
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{_first_line(error)} ({place.filename.rsplit('/', 1)[-1]}:{place.lineno} in {place.name})"


def _free() -> None:
    gc.collect()  # a Trainer and its model are in reference cycles
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@cache
def machine() -> dict[str, str]:
    """Return host, device and library versions, for the record."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {
        "host": socket.gethostname(),
        "device": device,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "stabsearch": __version__,
    }
