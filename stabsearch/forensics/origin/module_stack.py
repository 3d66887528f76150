"""Which module of a model is computing: forward by hooks, backward by autograd's sequence numbers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple

import torch

from stabsearch.forensics.origin.tensors import named_tensors


class Place(NamedTuple):
    """A module, or what takes its place."""

    module: str
    """Qualified name; ``the model`` for the model itself, ``the loss`` outside of it."""
    module_class: str = ""


OUTSIDE = Place("the loss")
UNKNOWN = Place("unknown")
ROOT = "the model"


@dataclass(frozen=True)
class BackwardPlace:
    """Where in the backward pass an operation runs."""

    place: Place
    node: str
    """Autograd's name of the derivative, e.g. ``AddmmBackward0``; empty when torch does not say."""


class ModuleStack:
    """Follows a model through one forward and backward pass; a context manager that hooks it."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.inputs: dict[str, torch.Tensor] = {}
        """Tensors that the model was first called with, by argument name."""
        self.num_returned = 0
        """How often a submodule has returned."""
        self.gives_scalar = False
        """True when the model itself returned a single number: it computes its own loss."""
        self.gradient_order: list[str] = []
        """Parameters in the order in which their gradients were ready."""
        self._model = model
        self._places = {
            module: Place(name or ROOT, type(module).__name__) for name, module in model.named_modules()
        }
        self._stack: list[torch.nn.Module] = []
        self._by_sequence: dict[int, Place] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> ModuleStack:
        for module in self._places:
            self._handles += [
                module.register_forward_pre_hook(self._enter, prepend=True, with_kwargs=True),
                module.register_forward_hook(self._leave, always_call=True),
            ]
        for name, parameter in self._model.named_parameters():
            if parameter.requires_grad and parameter.is_leaf:
                register: Any = parameter.register_post_accumulate_grad_hook
                self._handles.append(register(self._noting(name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._stack.clear()

    @property
    def current(self) -> Place:
        """Return the innermost module that is computing."""
        return self._places[self._stack[-1]] if self._stack else OUTSIDE

    @property
    def is_inside(self) -> bool:
        """Return whether any module is computing its forward."""
        return bool(self._stack)

    def remember(self) -> None:
        """Note that the operation running now belongs to the current module, for its derivative."""
        # the node of a derivative takes its number before the operation itself is dispatched
        self._by_sequence.setdefault(_next_sequence_number() - 1, self.current)

    def backward_place(self) -> BackwardPlace:
        """Return the module whose derivative is computing; UNKNOWN where torch does not say."""
        node = _current_node()
        if node is None:
            return BackwardPlace(UNKNOWN, "")
        number = getattr(node, "_sequence_nr", None)
        place = self._by_sequence.get(number(), UNKNOWN) if number else UNKNOWN
        return BackwardPlace(place, str(node.name()))

    def modules_of(self, error: BaseException) -> tuple[Place, ...]:
        """Return the modules that an exception went through, outermost first."""
        places: list[Place] = []
        trace = error.__traceback__
        while trace is not None:
            owner = trace.tb_frame.f_locals.get("self")
            place = self._places.get(owner) if isinstance(owner, torch.nn.Module) else None
            if place is not None and place not in places:
                places.append(place)
            trace = trace.tb_next
        return tuple(places)

    def _enter(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if module is self._model and not self.inputs:
            self.inputs = dict(named_tensors(_argument_names(module, args) | dict(kwargs), ""))
        self._stack.append(module)

    def _leave(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        # a global hook that raised ahead of ours has kept the module off the stack
        if self._stack and self._stack[-1] is module:
            self._stack.pop()
        if module is not self._model:
            self.num_returned += 1
        elif any(value.ndim == 0 for _, value in named_tensors(output, "")):
            self.gives_scalar = True

    def _noting(self, name: str) -> Any:
        return lambda parameter: self.gradient_order.append(name)


def _argument_names(module: torch.nn.Module, args: tuple[Any, ...]) -> dict[str, Any]:
    try:
        names = [*inspect.signature(module.forward).parameters]
    except (TypeError, ValueError):  # a forward that is no Python function
        names = []
    return {names[i] if i < len(names) else str(i): value for i, value in enumerate(args)}


def _next_sequence_number() -> int:
    """Return the number of autograd's next node, -1 where this torch keeps it to itself."""
    ask = getattr(getattr(torch._C, "_autograd", None), "_get_sequence_nr", None)
    return -1 if ask is None else int(ask())


def _current_node() -> Any:
    ask = getattr(torch._C, "_current_autograd_node", None)
    return None if ask is None else ask()
