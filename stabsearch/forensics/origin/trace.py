"""Every operation of a forward and backward pass, watched for numbers that are not finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stabsearch.forensics.origin.call import Call, Input, read_call
from stabsearch.forensics.origin.module_stack import UNKNOWN, BackwardPlace, ModuleStack, Place
from stabsearch.forensics.origin.operations import FILLS, READS_UNWRITTEN, ignores_all_labels, why
from stabsearch.forensics.origin.tensors import (
    TensorFacts,
    named_tensors,
    nonfinite,
    storage_address,
    tensor_facts,
)


class Kind(Enum):
    """How a number that is not finite came in."""

    MADE = "made"
    """An operation made it of finite numbers."""
    MASK = "mask"
    """An operation made -inf and nothing worse: what a mask does, and what an overflow can do."""
    READ = "read"
    """It stood in a tensor that no operation of this step has written."""
    UNWRITTEN = "unwritten"
    """It stood in memory that the step reserved and read before it wrote there."""


@dataclass(frozen=True)
class Event:
    """One place where something not finite came in."""

    number: int
    """Position among the events, in the order of computing."""
    kind: Kind
    op: str
    place: Place
    node: str
    """Autograd's name of the derivative, in the backward pass only."""
    is_backward: bool
    num_returned: int
    """How many submodules had returned by then."""
    output: TensorFacts
    """The first bad output; for READ and UNWRITTEN the tensor that was read."""
    inputs: tuple[TensorFacts, ...]
    reason: str = ""
    """What the operation does; empty for READ."""
    address: int = 0
    """Storage of the tensor that was read, for READ and UNWRITTEN."""
    source: Event | None = None
    """Where the infinities among the inputs came from, when they look like a mask."""

    @property
    def is_mask(self) -> bool:
        """Return whether this may be a mask: infinities that somebody meant."""
        facts = self.output
        is_only_minus = not facts.num_nan and not facts.num_plus_inf
        return self.kind is Kind.MASK or (self.kind is Kind.READ and is_only_minus)


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs operations as they are and blames each bad number on the event it descends from.

    A number that is not finite is followed from tensor to tensor by their storage, so that what
    was healed on the way (``nan_to_num``, a mask that softmax takes away) is blamed for nothing.
    """

    def __init__(self, modules: ModuleStack) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.is_backward = False
        """Set when the loss is there."""
        self.ignores_all_labels = False
        """True when a cross-entropy had no label that counts."""
        self._modules = modules
        self._num_events = 0
        self._blame: dict[int, Event | None] = {}
        """Storage to the event its bad numbers descend from; None: written by this step."""
        self._failure = "", "", UNKNOWN

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operation, and look at what went in and came out."""
        if torch.is_grad_enabled() or not self.is_backward:
            self._modules.remember()
        call = read_call(func, args, kwargs or {})
        try:
            result = func(*args, **(kwargs or {}))
        except Exception as error:
            self._failure = str(error), call.op, self._where().place
            raise
        outputs = [tensor for _, tensor in named_tensors(result, "")]
        self._look(replace(call, outputs=outputs))
        return result

    def raised(self, error: BaseException) -> tuple[str, Place]:
        """Return the operation that raised an exception, empty when none did, and its place."""
        text, op, place = self._failure
        return (op, place) if text == str(error) else ("", UNKNOWN)

    def blamed(self, tensor: torch.Tensor) -> Event | None:
        """Return the event that a tensor's bad numbers descend from, None when it is not known."""
        return self._blame.get(storage_address(tensor))

    def _look(self, call: Call) -> None:
        self.ignores_all_labels |= ignores_all_labels(call.op, call.arguments)
        self._forget(call)
        bad = call.bad_outputs
        causes = [self._cause(call, given) for given in call.bad_inputs] if bad else []
        for output in bad:
            self._blame[storage_address(output)] = self._event_of(call, output, causes)

    def _forget(self, call: Call) -> None:
        """Take what comes out as sound, unless it shares memory with an input that may not be."""
        addresses = {given.address for given in call.inputs}
        for output in call.outputs:
            address = storage_address(output)
            if address not in addresses:
                self._blame[address] = None

    def _cause(self, call: Call, given: Input) -> Event:
        """Return the event that a bad input descends from; a tensor nobody wrote is a new one."""
        known = self._blame.get(given.address)
        if known is None:
            kind = Kind.UNWRITTEN if given.address in self._blame else Kind.READ
            known = self._event(call, kind, tensor_facts(given.name, given.tensor))
            self._blame[given.address] = known = replace(known, address=given.address)
        return known

    def _event_of(self, call: Call, output: torch.Tensor, causes: Sequence[Event]) -> Event:
        fatal = [event for event in causes if not event.is_mask]
        if fatal:
            return _earliest(fatal)
        before, after = call.before, nonfinite(output)
        is_worse = (after.nan and not before.nan) or (after.plus_inf and not before.plus_inf)
        if causes and not is_worse:
            return _earliest(causes)
        is_mask = call.op in FILLS or (not is_worse and not self._is_differentiating)
        event = self._event(call, Kind.MASK if is_mask else Kind.MADE, tensor_facts("", output))
        reason = why(call.op, call.arguments, event.inputs, output)
        return replace(event, reason=reason, source=_earliest(causes) if causes else None)

    def _event(self, call: Call, kind: Kind, facts: TensorFacts) -> Event:
        where = self._where()
        self._num_events += 1
        return Event(
            number=self._num_events,
            kind=kind,
            op=call.op,
            place=where.place,
            node=where.node,
            is_backward=self._is_differentiating,
            num_returned=self._modules.num_returned,
            output=facts,
            reason=READS_UNWRITTEN if kind is Kind.UNWRITTEN else "",
            inputs=tuple(tensor_facts(name, value) for name, value in call.operands),
        )

    @property
    def _is_differentiating(self) -> bool:
        """Return whether derivatives are computed; a checkpointed forward run again is none."""
        return self.is_backward and not self._modules.is_inside

    def _where(self) -> BackwardPlace:
        if self._is_differentiating:
            return self._modules.backward_place()
        return BackwardPlace(self._modules.current, "")


def _earliest(events: Sequence[Event]) -> Event:
    return min(events, key=lambda event: event.number)
