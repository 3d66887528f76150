"""From the events of a traced step to the one that began it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from stabsearch.forensics.origin.localisation import Localisation
from stabsearch.forensics.origin.module_stack import OUTSIDE, ROOT
from stabsearch.forensics.origin.operations import FILLS, takes_masks
from stabsearch.forensics.origin.parts import Origin, Phase, Site, StepError
from stabsearch.forensics.origin.tensors import (
    TensorFacts,
    is_finite,
    named_tensors,
    nonfinite,
    storage_address,
    tensor_facts,
)
from stabsearch.forensics.origin.trace import Event, Kind
from stabsearch.forensics.origin.traced_step import TracedStep


@dataclass(frozen=True)
class BeforeStep:
    """What was not finite before the step, and the weights of each module."""

    parameters: tuple[TensorFacts, ...]
    buffers: tuple[TensorFacts, ...]
    names: Mapping[int, str]
    """Storage of each of these to its name."""
    model: torch.nn.Module


def before_step(model: torch.nn.Module) -> BeforeStep:
    """Return what is already not finite in a model; -inf alone in a buffer is a mask."""
    parameters = {name: value for name, value in model.named_parameters() if not is_finite(value)}
    buffers = {name: value for name, value in model.named_buffers() if any(nonfinite(value)[:2])}
    return BeforeStep(
        _all_facts(parameters),
        _all_facts(buffers),
        {storage_address(value): name for name, value in {**buffers, **parameters}.items()},
        model,
    )


def name_origin(
    run: TracedStep,
    before: BeforeStep,
    inputs: Mapping[str, Any],
    *,
    loss_scale: float,
    is_benign: bool,
    note: str,
) -> Localisation:
    """Return the localisation of a step that has been run.

    Args:
        run: what it showed.
        before: what was bad before it.
        inputs: the batch, for the names of its tensors.
        loss_scale: factor of the loss in the backward pass.
        is_benign: without that factor the gradients are finite.
        note: what could not be found out.
    """
    batch = {**run.modules.inputs, **dict(named_tensors(inputs, ""))}
    bad_inputs = {name: value for name, value in batch.items() if not is_finite(value)}
    event = _first(run)
    phase = _phase(run, event)
    was_read = event is not None and event.kind is Kind.READ
    addresses = {storage_address(value): name for name, value in bad_inputs.items()} | dict(before.names)
    return Localisation(
        phase=phase,
        loss=run.loss,
        loss_scale=loss_scale,
        origin=None if event is None or was_read else _origin(event, before.model),
        bad_parameters=before.parameters,
        bad_buffers=before.buffers,
        bad_inputs=_all_facts(bad_inputs),
        read=replace(event.output, name=addresses.get(event.address, "")) if event and was_read else None,
        gradients=run.gradients,
        all_labels_ignored=run.trace is not None and run.trace.ignores_all_labels,
        is_benign_skip=is_benign,
        error=run.error,
        note=note,
    )


def _first(run: TracedStep) -> Event | None:
    """Return the event that began it, None when nothing is bad."""
    if run.error is not None:
        return None
    event = run.gradient_event if run.has_finite_loss else run.loss_event
    if event is None or event.source is None or _is_meant(event):
        return event
    return event.source


def _is_meant(event: Event) -> bool:
    """Return whether the infinities that an event reads were meant as such: a mask, no overflow."""
    source = event.source
    assert source is not None
    was_given = source.kind is Kind.READ and source.op != "aten.lift_fresh"  # that reads a constant
    return takes_masks(event.op) or (source.op in FILLS and not was_given)


def _phase(run: TracedStep, event: Event | None) -> Phase:
    if run.error is not None:
        return _phase_of_error(run.error)
    if event is not None:
        return _phase_of(run, event)
    if not run.has_finite_loss:
        return Phase.LOSS
    gradients = run.gradients
    if gradients is not None and (gradients.num_bad or gradients.only_norm_overflows):
        return Phase.GRADIENTS
    return Phase.NOWHERE


def _phase_of_error(error: StepError) -> Phase:
    if error.is_backward:
        return Phase.BACKWARD
    return Phase.LOSS if "loss" in error.op or not error.modules else Phase.FORWARD


def _phase_of(run: TracedStep, event: Event) -> Phase:
    if event.kind is Kind.READ:
        return Phase.BEFORE
    if event.is_backward:
        return Phase.BACKWARD
    return Phase.LOSS if _is_loss(run, event) else Phase.FORWARD


def _is_loss(run: TracedStep, event: Event) -> bool:
    """Return whether an operation came after the last submodule, on the way to the loss."""
    if event.place == OUTSIDE:
        return True
    is_last = event.num_returned == run.num_returned
    return event.place.module == ROOT and is_last and run.modules.gives_scalar


def _origin(event: Event, model: torch.nn.Module) -> Origin:
    return Origin(
        site=_site(event),
        reason=event.reason,
        output=event.output,
        inputs=event.inputs,
        weights=_weights(model, event),
        minus_inf_from=_origin(event.source, model) if event.source else None,
    )


def _site(event: Event) -> Site:
    return Site(event.op, event.place.module, event.place.module_class, event.node)


def _weights(model: torch.nn.Module, event: Event) -> tuple[TensorFacts, ...]:
    name = "" if event.place.module == ROOT else event.place.module
    module = dict(model.named_modules()).get(name)
    return _all_facts(dict(module.named_parameters(recurse=False))) if module is not None else ()


def _all_facts(tensors: Mapping[str, torch.Tensor]) -> tuple[TensorFacts, ...]:
    return tuple(tensor_facts(name, value) for name, value in tensors.items())
