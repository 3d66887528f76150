"""What stands in a tensor: how much of it is not finite, and how large the rest is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

MAX_ROWS = 10
"""Rows named per tensor; chosen: fits one line."""


class Nonfinite(NamedTuple):
    """Which kinds of numbers that are not finite a tensor holds."""

    nan: bool = False
    plus_inf: bool = False
    minus_inf: bool = False

    def __or__(self, other: object) -> Nonfinite:
        """Return what either of two tensors holds."""
        assert isinstance(other, Nonfinite)
        return Nonfinite(*(mine or theirs for mine, theirs in zip(self, other, strict=True)))


@dataclass(frozen=True)
class TensorFacts:
    """The numbers of one tensor, without the tensor."""

    name: str
    """Argument name of the operation, qualified name of a parameter, or key of the batch."""
    dtype: str
    shape: tuple[int, ...]
    num_elements: int
    num_nan: int
    num_plus_inf: int
    num_minus_inf: int
    largest: float | None
    """Largest magnitude of the finite elements, None when there is none."""
    norm: float | None
    """L2 norm of the finite elements, None when there is none."""
    first_bad_index: tuple[int, ...] | None
    """Index of the first element that is not finite."""
    bad_rows: tuple[int, ...]
    """First positions along the first axis that hold such an element, at most ten."""
    num_bad_rows: int

    @property
    def num_bad(self) -> int:
        """Return how many elements are not finite."""
        return self.num_nan + self.num_plus_inf + self.num_minus_inf


def tensor_facts(name: str, tensor: torch.Tensor) -> TensorFacts:
    """Return the facts of a tensor; one of integers or without elements has nothing bad."""
    values = _as_floats(tensor)
    numbers = torch.zeros(0) if values is None else values
    index, rows = _bad_places(numbers)
    largest, norm = _size(numbers[torch.isfinite(numbers)])
    return TensorFacts(
        name=name,
        dtype=str(tensor.dtype).removeprefix("torch."),
        shape=tuple(tensor.shape),
        num_elements=tensor.numel(),
        num_nan=int(torch.isnan(numbers).sum()),
        num_plus_inf=int(torch.isposinf(numbers).sum()),
        num_minus_inf=int(torch.isneginf(numbers).sum()),
        largest=largest,
        norm=norm,
        first_bad_index=index,
        bad_rows=rows[:MAX_ROWS],
        num_bad_rows=len(rows),
    )


def is_finite(tensor: torch.Tensor) -> bool:
    """Return whether a tensor holds nothing but finite numbers."""
    values = _as_floats(tensor)
    if values is None:
        return True
    # NaN goes through both; on a CPU thirty times as fast as isfinite().all()
    low, high = torch.aminmax(values)
    return math.isfinite(float(low)) and math.isfinite(float(high))


def nonfinite(tensor: torch.Tensor) -> Nonfinite:
    """Return which kinds of non-finite numbers a tensor holds."""
    values = _as_floats(tensor)
    if values is None or is_finite(values):
        return Nonfinite()
    kinds = torch.isnan, torch.isposinf, torch.isneginf
    return Nonfinite(*(bool(kind(values).any()) for kind in kinds))


def named_tensors(value: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Return every tensor inside nested mappings and sequences, with the path to it."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from named_tensors(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from named_tensors(item, f"{name}.{i}" if name else str(i))


def storage_address(tensor: torch.Tensor) -> int:
    """Return where a tensor's memory begins, shared by all its views; 0: it has none of its own."""
    if tensor.layout is not torch.strided or tensor.device.type == "meta":
        return 0
    return int(tensor.untyped_storage().data_ptr())


def _as_floats(tensor: torch.Tensor) -> torch.Tensor | None:
    """Return the numbers as a plain tensor that torch can test; None: nothing can be bad in it."""
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce().values()
    if tensor.layout is not torch.strided or tensor.device.type == "meta" or not tensor.numel():
        return None
    if tensor.is_complex():
        return torch.view_as_real(tensor.resolve_conj())
    if not tensor.is_floating_point():
        return None
    return tensor.float() if tensor.element_size() == 1 else tensor  # float8 knows no isfinite


def _bad_places(numbers: torch.Tensor) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    is_bad = ~torch.isfinite(numbers)
    if not bool(is_bad.any()):
        return None, ()
    # not nonzero(): of a tensor that is NaN everywhere that is many times its size
    first = torch.unravel_index(is_bad.flatten().int().argmax(), is_bad.shape)
    rows = is_bad.reshape(len(numbers), -1).any(1).nonzero().flatten().tolist() if numbers.ndim else []
    return tuple(int(i) for i in first), tuple(rows)


def _size(finite: torch.Tensor) -> tuple[float | None, float | None]:
    if not finite.numel():
        return None, None
    magnitudes = finite.abs()
    largest = float(magnitudes.max())
    # divided first: squares of large finite numbers overflow
    share = (magnitudes.to(torch.promote_types(finite.dtype, torch.float32)) / largest) if largest else finite
    return largest, largest * float(torch.linalg.vector_norm(share))
