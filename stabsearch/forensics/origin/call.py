"""One operation of torch as it is dispatched: what goes in, what it holds, what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import torch

from stabsearch.forensics.origin.operations import OVERWRITES, UNINITIALISED
from stabsearch.forensics.origin.tensors import (
    Nonfinite,
    is_finite,
    named_tensors,
    nonfinite,
    storage_address,
)


@dataclass(frozen=True)
class Input:
    """A tensor that an operation reads."""

    name: str
    """Argument name in torch's schema."""
    tensor: torch.Tensor
    """Its values before the operation: a copy where the operation writes to it."""
    address: int
    """Its storage."""


@dataclass(frozen=True)
class Call:
    """One operation: what went in and came out."""

    op: str
    """As torch dispatches it, e.g. ``aten.addmm``."""
    arguments: Mapping[str, Any]
    """By their names in torch's schema, defaults included."""
    inputs: Sequence[Input]
    outputs: Sequence[torch.Tensor] = ()

    @property
    def before(self) -> Nonfinite:
        """Return what any input held."""
        return reduce(or_, (nonfinite(given.tensor) for given in self.inputs), Nonfinite())

    @property
    def operands(self) -> list[tuple[str, torch.Tensor]]:
        """Return the tensors that are read, and the plain number that they are combined with."""
        tensors = [(given.name, given.tensor) for given in self.inputs]
        other = self.arguments.get("other")
        return tensors + ([("other", torch.tensor(float(other)))] if isinstance(other, (int, float)) else [])

    @property
    def bad_inputs(self) -> list[Input]:
        """Return the inputs that held something not finite."""
        return [given for given in self.inputs if not is_finite(given.tensor)]

    @property
    def bad_outputs(self) -> list[torch.Tensor]:
        """Return the outputs that hold something not finite, unless they are memory not written yet."""
        if self.op in UNINITIALISED:
            return []
        return [output for output in self.outputs if not is_finite(output)]


def read_call(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    """Return an operation before it runs."""
    op = str(getattr(func, "overloadpacket", func))
    schema = getattr(func, "_schema", None)
    if schema is None:  # an operation of higher order; what it does shows in the operations inside
        return Call(op, {str(i): value for i, value in enumerate(args)} | dict(kwargs), ())
    defaults = {arg.name: arg.default_value for arg in schema.arguments if arg.has_default_value()}
    given = {schema.arguments[i].name: value for i, value in enumerate(args)}
    arguments = defaults | given | dict(kwargs)
    written = {arg.name for arg in schema.arguments if arg.alias_info and arg.alias_info.is_write}
    outs = {arg.name for arg in schema.arguments if arg.is_out} | ({"self"} if op in OVERWRITES else set())
    inputs = [
        _input(name, tensor, is_written=argument in written)
        for argument, value in arguments.items()
        if argument not in outs
        for name, tensor in named_tensors(value, argument)
    ]
    return Call(op, arguments, inputs)


def _input(name: str, tensor: torch.Tensor, *, is_written: bool) -> Input:
    values = tensor.clone() if is_written else tensor
    return Input(name, values, storage_address(tensor))
