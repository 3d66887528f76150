"""Where the first number that is not finite comes from, in one step run again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from stabsearch.forensics.origin.localisation import Localisation
from stabsearch.forensics.origin.naming import before_step, name_origin
from stabsearch.forensics.origin.parts import Phase
from stabsearch.forensics.origin.traced_step import Step, TracedStep, run_step
from stabsearch.forensics.origin.untouched import Untouched

__all__ = ["Localisation", "Phase", "localise"]


def localise(
    model: torch.nn.Module,
    step: Step,
    *,
    loss_scale: float = 1.0,
    inputs: Mapping[str, Any] | None = None,
) -> Localisation:
    """Return where the first number that is not finite comes from in one forward and backward pass.

    Args:
        model: the model that ``step`` runs; qualified names of modules and parameters are its own.
        step: runs the forward, autocast included, and returns the loss. It is called once, once
            more when only the loss scale may be at fault, and once more when tracing itself fails.
        loss_scale: factor of the loss in the backward pass, what a gradient scaler multiplies by.
        inputs: the batch, to name tensors that the model itself is not given, such as the labels
            of a loss of the user's own.

    Every operation is looked at; a step takes about one and a half times as long. Parameters,
    buffers, random generators and training mode are afterwards what they were; gradients are
    cleared. Exceptions of the step are part of the answer.
    """
    untouched = Untouched(model)
    before = before_step(model)
    try:
        run, note = _traced(model, step, loss_scale, untouched)
        is_benign = loss_scale != 1.0 and _is_benign(model, step, run, untouched)
    finally:
        untouched.put_back()
    return name_origin(run, before, inputs or {}, loss_scale=loss_scale, is_benign=is_benign, note=note)


def _traced(
    model: torch.nn.Module, step: Step, loss_scale: float, untouched: Untouched
) -> tuple[TracedStep, str]:
    """Return the traced step, or the plain one and a note where it is the trace that raises."""
    run = run_step(model, step, loss_scale, is_traced=True)
    if run.error is None:
        return run, ""
    untouched.put_back()
    plain = run_step(model, step, loss_scale, is_traced=False)
    if plain.error is not None:
        return run, ""
    return plain, f"the step could not be traced: {run.error.text}"


def _is_benign(model: torch.nn.Module, step: Step, run: TracedStep, untouched: Untouched) -> bool:
    """Return whether a finite loss has bad gradients only because of its scale."""
    if not run.has_finite_loss or run.gradients is None or not run.gradients.num_bad:
        return False
    untouched.put_back()
    return run_step(model, step, 1.0, is_traced=False).has_finite_gradients
