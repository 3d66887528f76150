"""What a localisation is made of: the part of the step, the operation, gradients, an exception."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from stabsearch.forensics.origin.operations import OVERFLOWS
from stabsearch.forensics.origin.tensors import TensorFacts


class Phase(StrEnum):
    """The part of the step that the first bad number belongs to."""

    BEFORE = "before"
    """It stood in a parameter, a buffer or the batch before the step began."""
    FORWARD = "forward"
    """A module made it."""
    LOSS = "loss"
    """The loss made it, of finite outputs of the model."""
    BACKWARD = "backward"
    """A derivative made it; the loss is finite."""
    GRADIENTS = "gradients"
    """Gradients are bad and no operation is to blame; or all are finite and their norm is not."""
    NOWHERE = "nowhere"
    """Loss, gradients and their norm are finite."""


@dataclass(frozen=True)
class Site:
    """An operation, and where it ran."""

    op: str
    """As torch dispatches it, e.g. ``aten.addmm``."""
    module: str
    """Qualified name; ``the model`` for the model itself, ``the loss`` outside of it, or ``unknown``."""
    module_class: str
    autograd_node: str
    """The derivative that it belongs to, e.g. ``AddmmBackward0``; empty in the forward pass."""


@dataclass(frozen=True)
class Origin:
    """The first operation whose output is not finite although all that it reads is."""

    site: Site
    reason: str
    """What it does, a verb phrase: ``overflows float16``, ``divides 0 by 0``."""
    output: TensorFacts
    inputs: tuple[TensorFacts, ...]
    weights: tuple[TensorFacts, ...]
    """The module's own parameters."""
    minus_inf_from: Origin | None
    """What made the infinities among the inputs, where they look like a mask."""

    @property
    def is_overflow(self) -> bool:
        """Return whether numbers too large for the format are at fault."""
        return self.reason.startswith(OVERFLOWS)

    @property
    def dtype(self) -> str:
        """Return the number format of the output."""
        return self.output.dtype


@dataclass(frozen=True)
class GradientFacts:
    """The gradients of one backward pass, the loss scale divided out."""

    first_bad: str | None
    """The first parameter, in the order of computing, whose gradient is not finite."""
    num_bad: int
    """Parameters with such a gradient."""
    num_parameters: int
    """Parameters with a gradient."""
    largest: float | None
    """Largest finite magnitude."""
    largest_in: str | None
    """The parameter that has it."""
    norm: float
    """Global L2 norm as clipping computes it; infinite when the squares overflow."""

    @property
    def only_norm_overflows(self) -> bool:
        """Return whether every gradient is finite and their norm is not."""
        return not self.num_bad and not math.isfinite(self.norm)


@dataclass(frozen=True)
class StepError:
    """The exception that ended the step."""

    text: str
    """Class and first line, e.g. ``IndexError: Target 2 is out of bounds.``"""
    op: str
    """The operation that ran last."""
    modules: tuple[str, ...]
    """The modules it went through, outermost first."""
    is_backward: bool
