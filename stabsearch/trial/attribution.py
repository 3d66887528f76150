"""What broke a trial: the bad batch once more, on initial and captured weights, in fp32 and as planned."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from stabsearch.capture.manifest import Digest, Suspects
from stabsearch.capture.micro_batch import MicroBatch
from stabsearch.capture.weights import nonfinite_weights
from stabsearch.records import Cause, Outcome, TrialPlan
from stabsearch.trial.narrowing import guilty_rows
from stabsearch.trial.rerun import Rerun, Seen

if TYPE_CHECKING:
    from stabsearch.task.base import Workload
    from stabsearch.trial.instrument import Guard

IGNORED = -100
"""Label that losses of Transformers leave out."""
OVERFLOWING_RATE = 1e10  # chosen: Adam moves a weight by about the learning rate; float32 ends at 3e38
FAULTS = frozenset({Cause.DATA, Cause.LOSS_MISMATCH, Cause.INITIALISATION})
"""Causes that no hyperparameter can cure."""


@dataclass(frozen=True)
class Attribution:
    """What the replays of a failed trial say."""

    outcome: Outcome
    cause: Cause
    suspects: Suspects = field(default_factory=Suspects)
    digest: Digest = field(default_factory=Digest)


def attribute(guard: Guard, workload: Workload, plan: TrialPlan, failure: Outcome) -> Attribution:
    """Return outcome and cause of a trial that met non-finite numbers; ``failure`` if its settings did it.

    A batch that is bad on the initial weights in fp32 is bad whatever the hyperparameters are: that is a
    fault of the data, the loss or the initial weights. One that is not bad again on the very weights and
    random numbers it was bad on is a fault of the machine. Neither is evidence against the settings.

    The Trainer is done for afterwards: its instrumentation is off, its optimizer empty.
    """
    update, bad = guard.suspect, guard.log.bad
    is_loss = bad is not None and bad.kind == "loss"
    guard.release()
    if guard.ranks.is_sharded:
        return _of_a_part(guard, workload, plan, failure)
    again = Rerun(guard.trainer, update.window).as_trained(update.loss_scale)
    found = again.digest
    window = update.window[-1:] if is_loss else update.window
    replays = _Replays(guard, workload, plan, Rerun(guard.trainer, window, with_gradients=not is_loss))
    if again.is_finite:
        return Attribution(Outcome.CRASHED, Cause.HARDWARE_OR_NONDETERMINISM, digest=found)
    cause = replays.cause()
    suspects = Suspects()
    if cause is Cause.DATA:
        suspects = replays.suspects(first=len(update.window) - len(window))
        cause = replays.fault(suspects)
    return Attribution(_outcome(cause, failure), cause, suspects, found)


def is_bad_alone(guard: Guard) -> bool:
    """Return whether the step of this process, one of several, is bad also without those of the others.

    One of them at least is: an average of finite gradients is no larger than the largest of them.
    """
    if guard.ranks.is_sharded:
        return False  # a process with a part of the weights can run nothing by itself
    update = guard.suspect
    try:
        with guard.paused():
            return not Rerun(guard.trainer, update.window).as_trained(update.loss_scale).is_finite
    except (torch.OutOfMemoryError, MemoryError):
        return False  # there is no room to find out


def _of_a_part(guard: Guard, workload: Workload, plan: TrialPlan, failure: Outcome) -> Attribution:
    """Return what the initial weights say, where each process holds a part of the trained ones only."""
    replays = _Replays(guard, workload, plan, Rerun(guard.trainer, guard.suspect.window))
    cause = replays.initial_cause()
    if cause is not Cause.DATA:
        return Attribution(failure, cause or Cause.UNKNOWN)
    suspects = replays.suspects(first=0)
    return Attribution(Outcome.DATA_FAULT, replays.fault(suspects), suspects)


def attribute_error(guard: Guard, workload: Workload, plan: TrialPlan, error: Exception) -> Attribution:
    """Return outcome and cause of a trial whose step raised; a crash unless its batch is to blame.

    Args:
        guard: of the trial; its current window holds the batch that raised.
        workload: gives the initial weights.
        plan: of the trial.
        error: what was raised.
    """
    in_loss = is_from_loss(error)
    guard.release()
    crash = Attribution(Outcome.CRASHED, Cause.UNKNOWN)
    window = tuple(guard.window[-1:])
    if not window or "device-side assert" in str(error):
        return crash  # a CUDA context that asserted answers nothing any more
    replays = _Replays(guard, workload, plan, Rerun(guard.trainer, window))
    seen = replays.seen(replays.initial, "fp32")
    if not seen.error.startswith(type(error).__name__):
        if guard.ranks.is_sharded:
            return crash
        again = replays.seen(replays.captured, "fp32")
        is_theirs = again.error.startswith(type(error).__name__) and not again.are_outputs_finite
        return Attribution(Outcome.NONFINITE, Cause.LEARNING_RATE) if is_theirs else crash
    suspects = replays.suspects(first=len(guard.window) - 1)
    if suspects.is_specific or (in_loss and isinstance(error, IndexError)):
        return Attribution(Outcome.DATA_FAULT, Cause.DATA, suspects)
    return Attribution(Outcome.DATA_FAULT, Cause.LOSS_MISMATCH, suspects) if in_loss else crash


def name_cause(
    *, initial_fp32: bool, initial_planned: bool, captured_fp32: bool, captured_planned: bool
) -> Cause:
    """Return the cause that four replays point to; each argument is True where all stayed finite.

    All four finite: the norm of the gradient overflowed, or dropout drew other numbers; either
    way it took weights that training had moved.
    """
    if not initial_fp32:
        return Cause.DATA
    if not initial_planned:
        return Cause.PRECISION_AT_INIT
    if not captured_fp32:
        return Cause.LEARNING_RATE
    return Cause.LEARNING_RATE if captured_planned else Cause.PRECISION_AFTER_DRIFT


def is_from_loss(error: BaseException) -> bool:
    """Return whether an error was raised where losses are computed, in torch or in Transformers."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = trace.tb_frame.f_code.co_filename.replace("\\", "/") if trace else ""
    name = trace.tb_frame.f_code.co_name if trace else ""
    is_functional = place.endswith("torch/nn/functional.py") and ("loss" in name or "entropy" in name)
    return is_functional or "transformers/loss/" in place


def _outcome(cause: Cause, failure: Outcome) -> Outcome:
    if cause in FAULTS:
        return Outcome.DATA_FAULT
    return failure if cause.is_of_settings else Outcome.CRASHED


class _Replays:
    """The replays of one bad window; initial weights are made when they are first needed."""

    def __init__(self, guard: Guard, workload: Workload, plan: TrialPlan, rerun: Rerun) -> None:
        trainer: Any = guard.trainer
        # a second model has to fit on the device: what the first one needed for updates makes room
        trainer.model.zero_grad(set_to_none=True)
        if trainer.optimizer is not None:
            trainer.optimizer.state.clear()
        self._plan, self._rerun = plan, rerun
        self.captured = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        self.initial = workload.model(plan.model_seed).to(trainer.args.device)

    def seen(self, model: torch.nn.Module, precision: Any) -> Seen:
        return self._rerun.seen(model, precision)

    def cause(self) -> Cause:
        """Return the cause that the four replays point to, or what made the captured weights useless."""
        planned = self._plan.precision
        cause = name_cause(
            initial_fp32=self.seen(self.initial, "fp32").is_finite,
            initial_planned=self.seen(self.initial, planned).is_finite,
            captured_fp32=self.seen(self.captured, "fp32").is_finite,
            captured_planned=self.seen(self.captured, planned).is_finite,
        )
        is_poisoned = cause is Cause.LEARNING_RATE and bool(nonfinite_weights(self.captured))
        # every gradient up to here was finite: an update that makes NaN of finite numbers divides by zero,
        # unless the learning rate itself takes the weights out of range
        if is_poisoned and self._plan.learning_rate < OVERFLOWING_RATE:
            return Cause.OPTIMIZER_SETTINGS
        return cause

    def initial_cause(self) -> Cause | None:
        """Return the cause that the initial weights alone point to, None when they are sound."""
        if not self.seen(self.initial, "fp32").is_finite:
            return Cause.DATA
        return None if self.seen(self.initial, self._plan.precision).is_finite else Cause.PRECISION_AT_INIT

    def suspects(self, first: int) -> Suspects:
        """Return the rows that are bad on the initial weights in fp32, of the first bad micro-batch."""
        for place, micro_batch in enumerate(self._rerun.window):
            if micro_batch.num_rows and self._is_bad(micro_batch):
                is_bad = partial(self._is_bad_part, micro_batch)
                places, is_specific = guilty_rows(micro_batch.num_rows, is_bad)
                rows = micro_batch.rows
                numbers = tuple(rows[row] for row in places) if rows is not None else ()
                return Suspects(places, numbers, first + place, is_specific)
        return Suspects()

    def fault(self, suspects: Suspects) -> Cause:
        """Return what is at fault in a batch that is bad on the initial weights in fp32."""
        if nonfinite_weights(self.initial):
            return Cause.INITIALISATION
        if suspects.is_specific or any(map(_is_visibly_bad, self._rerun.window)):
            return Cause.DATA
        return (
            Cause.LOSS_MISMATCH
            if self.seen(self.initial, "fp32").are_outputs_finite
            else Cause.INITIALISATION
        )

    def _is_bad_part(self, micro_batch: MicroBatch, places: list[int]) -> bool:
        return self._is_bad(micro_batch.only(places))

    def _is_bad(self, micro_batch: MicroBatch) -> bool:
        alone = Rerun(self._rerun.trainer, (micro_batch,), self._rerun.with_gradients)
        return not alone.seen(self.initial, "fp32").is_finite


def _is_visibly_bad(micro_batch: MicroBatch) -> bool:
    """Return whether the inputs themselves are broken: NaN, no label at all, or nothing attended to."""
    tensors = {name: value for name, value in micro_batch.inputs.items() if isinstance(value, torch.Tensor)}
    if any(value.is_floating_point() and bool(torch.isnan(value).any()) for value in tensors.values()):
        return True
    return _is_all(tensors, "labels", IGNORED) or _is_all(tensors, "attention_mask", 0)


def _is_all(tensors: dict[str, torch.Tensor], name: str, value: int) -> bool:
    tensor = tensors.get(name)
    return tensor is not None and tensor.numel() > 0 and bool((tensor == value).all())
