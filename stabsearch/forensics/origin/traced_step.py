"""One forward and backward pass of a model, with everything in it looked at."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from stabsearch.forensics.origin.gradients import gradient_facts
from stabsearch.forensics.origin.module_stack import OUTSIDE, UNKNOWN, ModuleStack
from stabsearch.forensics.origin.parts import GradientFacts, StepError
from stabsearch.forensics.origin.tensors import is_finite
from stabsearch.forensics.origin.trace import Event, Trace

Step = Callable[[], torch.Tensor]


@dataclass
class TracedStep:
    """What one pass showed."""

    modules: ModuleStack
    trace: Trace | None
    """None: the pass was run plainly."""
    loss: float | None = None
    """None when the forward raised."""
    loss_event: Event | None = None
    """What the loss's bad numbers descend from."""
    num_returned: int = 0
    """Submodules that had returned when the loss was there."""
    gradients: GradientFacts | None = None
    gradient_event: Event | None = None
    """The first of the events that the gradients' bad numbers descend from."""
    error: StepError | None = None

    @property
    def has_finite_loss(self) -> bool:
        """Return whether the forward gave a finite loss."""
        return self.loss is not None and math.isfinite(self.loss)

    @property
    def has_finite_gradients(self) -> bool:
        """Return whether there are gradients, and every element of them is finite."""
        return self.gradients is not None and not self.gradients.num_bad and self.error is None


def run_step(model: torch.nn.Module, step: Step, loss_scale: float, *, is_traced: bool) -> TracedStep:
    """Return what one forward and backward pass of a model showed; an exception is part of it."""
    modules = ModuleStack(model)
    run = TracedStep(modules, Trace(modules) if is_traced else None)
    # anything a user's model can raise is an answer; only what ends the process goes on
    try:
        with modules, torch.enable_grad(), run.trace or nullcontext():
            _forward_and_backward(run, step, loss_scale)
    except Exception as error:  # noqa: BLE001
        run.error = _describe(run, error)
    run.gradients = _gradients(model, run, loss_scale)
    run.gradient_event = _first_event(model, run.trace) if run.trace else None
    return run


def _forward_and_backward(run: TracedStep, step: Step, loss_scale: float) -> None:
    loss = step()
    loss = loss if loss.ndim == 0 else loss.mean()  # one loss per replica, as Trainer treats it
    run.loss = float(loss.detach())
    run.loss_event = run.trace.blamed(loss) if run.trace else None
    run.num_returned = run.modules.num_returned
    if not loss.requires_grad:
        return
    if run.trace:
        run.trace.is_backward = True
    # a gradient scaler multiplies by a float32 tensor, which lifts a half-precision loss
    scaled = loss if loss_scale == 1.0 else loss * torch.tensor(loss_scale, device=loss.device)
    scaled.backward()  # type: ignore[no-untyped-call]


def _describe(run: TracedStep, error: Exception) -> StepError:
    op, place = run.trace.raised(error) if run.trace else ("", UNKNOWN)
    modules = run.modules.modules_of(error) or ((place,) if place not in {UNKNOWN, OUTSIDE} else ())
    first_line = next(iter(str(error).splitlines()), "")
    return StepError(
        text=f"{type(error).__name__}: {first_line.rstrip('.')}",
        op=op,
        modules=tuple(place.module for place in modules),
        is_backward=run.loss is not None,
    )


def _gradients(model: torch.nn.Module, run: TracedStep, loss_scale: float) -> GradientFacts | None:
    if run.error is not None or all(parameter.grad is None for parameter in model.parameters()):
        return None
    return gradient_facts(model, run.modules.gradient_order, loss_scale)


def _first_event(model: torch.nn.Module, trace: Trace) -> Event | None:
    """Return the first event that a parameter's gradient descends from."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    bad = [trace.blamed(gradient) for gradient in gradients if not is_finite(gradient)]
    return min((event for event in bad if event), key=lambda event: event.number, default=None)
