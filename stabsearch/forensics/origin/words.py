"""A localisation as one line for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stabsearch.forensics.origin.operations import ALL_IGNORED, ZERO_BY_ZERO
from stabsearch.forensics.origin.parts import GradientFacts, Origin, Phase, Site, StepError
from stabsearch.forensics.origin.tensors import TensorFacts

if TYPE_CHECKING:
    from stabsearch.forensics.origin.localisation import Localisation

_WEIGHT_ARGUMENTS = frozenset({"weight", "bias", "mat2", "running_mean", "running_var"})


def sentence(found: Localisation) -> str:
    """Return what happened, in one line."""
    if found.error is not None:
        return _error(found.error)
    if found.is_benign_skip:
        return (
            f"only the loss scale of {number(found.loss_scale)} overflows: unscaled gradients are finite, "
            "a normal skip of fp16 training"
        )
    return _bad_number(found)


def number(value: float) -> str:
    """Return a number in the fewest digits that tell it apart: whole ones whole, others with four."""
    is_whole = math.isfinite(value) and value == int(value) and abs(value) < 1e9
    return f"{value:.0f}" if is_whole or 1e3 <= abs(value) < 1e6 else f"{value:.4g}"


def _bad_number(found: Localisation) -> str:
    if found.phase is Phase.BEFORE:
        return _before(found)
    if found.origin is None:
        return _without_origin(found)
    if found.phase is Phase.LOSS:
        return _loss(found, found.origin)
    is_hidden = found.phase is Phase.FORWARD and found.has_finite_loss
    return _origin(found.origin) + ("; the loss is finite, its gradients are not" if is_hidden else "")


def _error(error: StepError) -> str:
    what = "backward pass" if error.is_backward else "forward"
    module = error.modules[-1] if error.modules else "" if error.is_backward else "the loss"
    at = ", ".join(filter(None, (module, _plain(error.op))))
    return f"the {what} raises {error.text}" + (f" (in {at})" if at else "")


def _before(found: Localisation) -> str:
    read = found.read
    if read is None:
        return "something was already not finite before this step"
    if read.name in {facts.name for facts in found.bad_parameters}:
        others = len(found.bad_parameters) - 1
        return f"the parameters were already not finite before this step: {found.bad_parameters[0].name}" + (
            f" and {others} more" if others else ""
        )
    if read.name in {facts.name for facts in found.bad_buffers}:
        return f"buffer {read.name} held {_kinds(read)} before this step"
    if read.name:
        return f"input {read.name} holds {_kinds(read)}{_rows(read)}"
    shape = "x".join(map(str, read.shape)) or "single"
    return f"a tensor from outside the model holds {_kinds(read)}{_rows(read)} ({read.dtype}, {shape})"


def _loss(found: Localisation, origin: Origin) -> str:
    op = _plain(origin.site.op)
    if origin.reason == ALL_IGNORED or (origin.reason == ZERO_BY_ZERO and found.all_labels_ignored):
        return f"the loss is 0/0: {op} over labels that are all ignored, logits are finite"
    value = "0/0" if origin.reason == ZERO_BY_ZERO else str(found.loss)
    return f"the loss is {value}: {_origin(origin)}"


def _origin(origin: Origin) -> str:
    measures = [
        _up_to("inputs", _operands(origin)),
        _up_to("weights", origin.weights),
        _counts(origin.output),
    ]
    text = ", ".join(filter(None, measures))
    return f"{_place(origin.site)} {origin.reason}: {text}{_source(origin.minus_inf_from)}"


def _source(source: Origin | None) -> str:
    if source is None:
        return ""
    # an operation that overflowed to -inf is at fault itself, one that was told to fill it in is not
    overflow = f", which {source.reason}: {_up_to('inputs', source.inputs)}" if source.is_overflow else ""
    return f"; the -inf comes from {_place(source.site)}{overflow}"


def _without_origin(found: Localisation) -> str:
    if found.phase is Phase.NOWHERE:
        return "loss, gradients and their norm are finite"
    gradients = found.gradients
    if found.phase is Phase.GRADIENTS and gradients is not None:
        return _gradients(gradients)
    return f"the loss is {found.loss}, and no operation is to blame"


def _gradients(gradients: GradientFacts) -> str:
    if gradients.only_norm_overflows:
        return (
            f"every gradient is finite, their norm overflows: "
            f"up to {number(gradients.largest or 0.0)} in {gradients.largest_in}"
        )
    return (
        f"{gradients.num_bad} of {gradients.num_parameters} gradients are not finite, first that of "
        f"{gradients.first_bad}, and no operation is to blame"
    )


def _place(site: Site) -> str:
    module = site.module if site.module != "the model" else f"the model itself ({site.module_class})"
    if not site.autograd_node:
        return f"{_plain(site.op)} in {module}"
    return f"{_plain(site.op)} in the backward pass of {module} ({site.autograd_node})"


def _plain(op: str) -> str:
    """Return an operation's name without the dispatcher's decoration."""
    name = op.removeprefix("aten.").strip("_").removeprefix("native_").removesuffix("_forward")
    return {"to_copy": "the cast"}.get(name, name)


def _operands(origin: Origin) -> Sequence[TensorFacts]:
    """Return the inputs that are not the module's own weights, by their names in torch's schema."""
    if not origin.weights:
        return origin.inputs
    is_linear = any(facts.name == "mat2" for facts in origin.inputs)
    skipped = _WEIGHT_ARGUMENTS | ({"self"} if is_linear and origin.site.op == "aten.addmm" else set())
    return [facts for facts in origin.inputs if facts.name not in skipped]


def _up_to(what: str, facts: Sequence[TensorFacts]) -> str:
    sizes = [one.largest for one in facts if one.largest is not None]
    return f"{what} up to {number(max(sizes))}" if sizes else ""


def _counts(facts: TensorFacts) -> str:
    num_infinite = facts.num_plus_inf + facts.num_minus_inf
    if facts.num_elements == 1:
        return "the output is " + ("NaN" if facts.num_nan else "infinite")
    counts = [f"{facts.num_nan} NaN"] * bool(facts.num_nan) + [f"{num_infinite} infinite"] * bool(
        num_infinite
    )
    if len(counts) == 1:
        count, kind = counts[0].split()
        return f"{count} of {facts.num_elements} outputs are {kind}"
    return f"of {facts.num_elements} outputs {counts[0]} and {counts[1]}" if counts else ""


def _kinds(facts: TensorFacts) -> str:
    held = {"NaN": facts.num_nan, "+inf": facts.num_plus_inf, "-inf": facts.num_minus_inf}
    return " and ".join(kind for kind, count in held.items() if count)


def _rows(facts: TensorFacts) -> str:
    rows = facts.bad_rows
    if not rows:
        return ""
    named = ", ".join(map(str, rows[:5]))
    more = facts.num_bad_rows - len(rows[:5])
    return f" in {'row' if len(rows) == 1 else 'rows'} {named}" + (f" and {more} more" if more else "")
