"""A trial that has been set up: its Trainer, guarded, and what has been seen of it so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import transformers
from transformers import TrainerCallback, set_seed

from stabsearch.records import TrialPlan, TrialRecord
from stabsearch.records.ramp import ramp_learning_rate
from stabsearch.task.digest import weights_digest
from stabsearch.trial.accumulation import LossReference
from stabsearch.trial.arguments import trial_arguments
from stabsearch.trial.effective import counted_rates, read_back
from stabsearch.trial.forward_probe import ForwardProbe
from stabsearch.trial.instrument import Guard, TrainingBroke
from stabsearch.trial.judge import FP16_INITIAL_SCALE, Finding, Judge
from stabsearch.trial.not_applied import IGNORES_ARGUMENTS, SettingsNotApplied, argument_differences
from stabsearch.trial.precision import enable_fp16_on_cpu, put_into
from stabsearch.trial.ranks import Ranks

if TYPE_CHECKING:
    from stabsearch.task.base import Workload
    from stabsearch.trial.gauge import Gauge
    from stabsearch.trial.guard import GuardLog
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
        self.on_begin: Callable[[], None] = lambda: None
        """Called when the training begins, once the guard has begun."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.on_begin()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.first_step_at = self.first_step_at or time.time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= self.horizon:
            control.should_training_stop = True


class _Ramp(TrainerCallback):  # type: ignore[misc]
    """Gives each optimizer step the learning rate of a ramp.

    A scheduler would count its own calls, and it is not called where the fp16 loss scaler skips an
    update of an optimizer that is not fused; set here, a step's number always gives its rate.
    """

    def __init__(self, plan: TrialPlan) -> None:
        self._plan = plan

    def on_step_begin(self, args: Any, state: Any, control: Any, optimizer: Any, **_: Any) -> None:
        share = ramp_learning_rate(self._plan, state.global_step + 1) / self._plan.learning_rate
        for group in optimizer.param_groups:
            # groups with a rate of their own keep their distance
            group["lr"] = group.get("initial_lr", self._plan.learning_rate) * share


@dataclass
class LiveTrial:
    """One trial's Trainer and everything that reading its result needs."""

    plan: TrialPlan
    guard: Guard
    probe: ForwardProbe
    clock: _Clock
    initial_weights: str = ""
    """Digest of the weights before the first step, in the dtype that the model came in."""
    finding: Finding | None = None
    """What the judge stopped it for."""

    def train(self, gauge: Gauge) -> None:
        """Train to the horizon, or to where the trial failed; anything else is raised.

        Args:
            gauge: shows meanwhile how far it is.
        """
        self.clock.on_begin = lambda: gauge.show(self.plan.number, self.guard.log)
        set_seed(self.plan.model_seed)
        try:
            self.guard.trainer.train()
        except _Failed as failed:
            self.finding = failed.finding
        except TrainingBroke:
            pass  # the guard's log holds the bad number

    @property
    def learning_rates(self) -> list[float]:
        """Return the learning rate of each step that the schedule counted, as far as it is known."""
        return counted_rates(self.guard.log.learning_rates, self.guard.log.skipped)

    def seen(self, record: TrialRecord) -> TrialRecord:
        """Return the record with everything that was seen up to now."""
        log, now = self.guard.log, time.time()
        first_step_at = self.clock.first_step_at or now
        return replace(
            record,
            steps=int(self.guard.trainer.state.global_step),
            trace=log.trace(),
            skipped_steps=sum(log.skipped),
            clipped_share=_clipped_share(log, self.plan.max_grad_norm),
            effective=read_back(self.guard, self.probe) if log.losses else None,
            initial_weights=self.initial_weights,
            startup_s=first_step_at - record.started_at,
            train_s=now - first_step_at,
        )


def set_up(plan: TrialPlan, workload: Workload, setup: TrialSetup, folder: str) -> LiveTrial:
    """Return the trial, ready to train; ``folder`` is where Transformers may leave files."""
    arguments = trial_arguments(plan, setup, folder)
    trainer = workload.trainer(arguments, plan.model_seed)
    differing = argument_differences(arguments, trainer.args)
    if differing:
        raise SettingsNotApplied("; ".join(differing), IGNORES_ARGUMENTS, key=("task",))
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    trainer.model_init = None  # train() would make another model than the one that is looked at here
    trainer.floating_point_ops = (
        _uncounted  # a twentieth of a small model's step, for a number that nobody sees
    )
    initial_weights = weights_digest(trainer.model)
    put_into(trainer.model, plan.precision)
    if plan.precision == "fp16" and setup.allow_fp16_on_cpu:
        enable_fp16_on_cpu(trainer)
    scaler = trainer.accelerator.scaler
    scale = float(scaler.get_scale()) if scaler is not None else FP16_INITIAL_SCALE
    judge = Judge(setup.rules, plan.horizon, setup.chance_loss_of(workload), scale)
    reference = LossReference(trainer, Ranks.of(trainer), mends=setup.accumulation == "fix")
    guard = Guard(trainer, _stop_on_finding(judge, scaler), reference, form=setup.guard)
    clock = _Clock(plan.horizon)
    trainer.add_callback(clock)
    if plan.ramp_from is not None:
        trainer.add_callback(_Ramp(plan))
    probe = ForwardProbe(trainer.model, trainer.args.device)
    return LiveTrial(plan, guard, probe, clock, initial_weights)


def _uncounted(inputs: Any) -> int:
    """Return nothing for a number that the Trainer adds up at every step, and that no trial shows."""
    return 0


def _stop_on_finding(judge: Judge, scaler: Any) -> Callable[[GuardLog], int | None]:
    def on_update(log: GuardLog) -> int | None:
        finding = judge.see(log.losses[-1], log.skipped[-1], log.loss_scales[-1])
        if finding:
            raise _Failed(finding)
        # a loss scale at its floor is looked into on the very weights; nobody asks for those of a divergence
        return (
            judge.skips_to_spare(log.loss_scales[-1], scaler.get_backoff_factor())
            if scaler is not None
            else None
        )

    return on_update


def _clipped_share(log: GuardLog, max_grad_norm: float) -> float:
    norms = [norm for norm in log.grad_norms if math.isfinite(norm)]
    if not max_grad_norm or not norms:
        return 0.0 if norms else math.nan
    return sum(norm > max_grad_norm for norm in norms) / len(norms)
