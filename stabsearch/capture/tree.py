"""Nested values as JSON and named tensors, and back, exactly; nothing is ever pickled."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np
import torch

Node = dict[str, Any]
_SEQUENCES = {"list": list, "tuple": tuple}


class NotStorable(TypeError):  # noqa: N818 - it says what the value is
    """A value that is neither a tensor nor plain data."""


def take_apart(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Node:
    """Return the structure of a value as JSON data; its tensors are added to ``tensors`` by name.

    Raises:
        NotStorable: something in it is no dense tensor, array of numbers, mapping with texts as keys, list,
            number, text or None.
    """
    if isinstance(value, np.ndarray):
        value = _from_numpy(value, name)
    if isinstance(value, torch.Tensor):
        return {"tensor": _added(value, name, tensors)}
    if isinstance(value, Mapping):
        return {"mapping": _mapping(value, name, tensors)}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [take_apart(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]}
    return _leaf(value.item() if isinstance(value, np.generic) else value, name)


def _mapping(value: Mapping[Any, Any], name: str, tensors: dict[str, torch.Tensor]) -> dict[str, Node]:
    for key in value:
        if type(key) is not str:  # JSON has no other keys, and 1 is not "1"
            raise _refused(f"{name}[{key!r}]", key)
    return {key: take_apart(item, f"{name}.{key}", tensors) for key, item in value.items()}


def _leaf(value: Any, name: str) -> Node:
    if isinstance(value, float):
        return {"float": struct.pack(">d", value).hex()}  # JSON knows no NaN, and NaNs differ
    if value is None or isinstance(value, bool | int | str):
        return {"plain": value}
    raise _refused(name, value)


def _from_numpy(value: np.ndarray[Any, Any], name: str) -> torch.Tensor:
    try:
        return torch.from_numpy(np.array(value, copy=True))
    except TypeError:  # texts, objects, numbers that torch does not have
        raise _refused(f"{name} with numbers of type {value.dtype}", value) from None


def _added(value: torch.Tensor, name: str, tensors: dict[str, torch.Tensor]) -> str:
    if value.layout is not torch.strided or value.is_nested or value.is_complex():
        raise _refused(f"{name} (sparse, nested or complex)", value)
    while name in tensors:  # {"a": {"b": x}, "a.b": y}
        name += "+"
    tensors[name] = value.detach().to("cpu", copy=True).contiguous()
    return name


def _refused(name: str, value: Any) -> NotStorable:
    return NotStorable(f"{name} is a {type(value).__module__}.{type(value).__qualname__}")


def put_together(node: Node, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Return the value that ``take_apart`` took apart.

    Raises:
        ValueError: a tensor is missing, or the structure is not one of ours.
    """
    if not isinstance(node, dict) or len(node) != 1:
        raise ValueError(f"a structure that is none: {node!r}"[:100])
    ((kind, held),) = node.items()
    if kind == "plain" and (held is None or isinstance(held, bool | int | str)):
        return held
    if kind == "tensor" and isinstance(held, str) and held in tensors:
        return tensors[held]
    if kind == "mapping" and isinstance(held, dict):
        return {key: put_together(item, tensors) for key, item in held.items()}
    if kind in _SEQUENCES and isinstance(held, list):
        return _SEQUENCES[kind](put_together(item, tensors) for item in held)
    if kind == "float" and isinstance(held, str) and len(held) == 16:
        return float(struct.unpack(">d", bytes.fromhex(held))[0])
    raise ValueError(f"no {kind} {held!r}"[:100])


def to_plain(value: Any) -> Any:
    """Return strict JSON data that people can read; what has no JSON form becomes its text.

    >>> to_plain({"rate": 0.1, "limits": (0.0, float("inf"))})
    {'rate': 0.1, 'limits': [0.0, {'__float__': 'inf'}]}
    """
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):  # their order differs between processes
        return sorted((to_plain(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, float):  # NumPy's too
        return float(value) if math.isfinite(value) else {"__float__": str(float(value))}
    return value if value is None or type(value) in {bool, int} else str(value)


def from_plain(value: Any) -> Any:
    """Return what ``to_plain`` was given, numbers beyond JSON's put back.

    Raises:
        ValueError: such a number is none.
    """
    if isinstance(value, dict):
        if value.keys() == {"__float__"}:
            return float(value["__float__"])
        return {key: from_plain(item) for key, item in value.items()}
    return [from_plain(item) for item in value] if isinstance(value, list) else value
