"""Which dtype a model's weights are in, and the same weights in another one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

PLAIN = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
"""Dtypes that weights are computed in; others, of quantised weights, are storage alone."""


@dataclass(frozen=True)
class Dtypes:
    """Names of the dtypes of a model's parameters, in order."""

    trained: tuple[str, ...]
    frozen: tuple[str, ...]
    """Those of quantised weights do not count."""


def dtypes_of(model: torch.nn.Module) -> Dtypes:
    """Return which dtypes the parameters are in, apart from those that the model's class keeps in float32."""
    kept = _kept_in_float32(model)
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for name, weight in model.named_parameters():
        if not kept(name) and (weight.requires_grad or weight.dtype in PLAIN):
            found[weight.requires_grad].add(name_of(weight.dtype))
    return Dtypes(tuple(sorted(found[True])), tuple(sorted(found[False])))


def name_of(dtype: torch.dtype) -> str:
    """Return torch's name of a dtype.

    >>> name_of(torch.bfloat16)
    'bfloat16'
    """
    return str(dtype).removeprefix("torch.")


def cast(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Put a model into the dtype that ``from_pretrained(..., dtype=dtype)`` would have given it.

    ``model.to(dtype)`` would go further: it rounds the frequencies of rotary embeddings too, which no
    checkpoint holds and every model computes in float32. Parameters stay the objects that they were,
    so that an optimizer that was made before goes on with them.
    """
    for tensor in _cast_tensors(model):
        tensor.data = tensor.data.to(dtype)


@contextmanager
def weights_in(model: torch.nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Have a model's weights in a dtype, and the very ones of before afterwards."""
    before = [(tensor, tensor.data) for tensor in _cast_tensors(model) if tensor.dtype != dtype]
    if not before:
        yield
        return
    model.zero_grad(set_to_none=True)  # a gradient is of its weight's dtype
    cast(model, dtype)
    try:
        yield
    finally:
        model.zero_grad(set_to_none=True)
        for tensor, data in before:
            tensor.data = data


def _cast_tensors(model: torch.nn.Module) -> list[torch.Tensor]:
    """Return what a checkpoint holds of a model in plain floating point, less what is kept in float32."""
    kept = _kept_in_float32(model)
    named = [*model.named_parameters(), *_stored_buffers(model)]
    return [tensor for name, tensor in named if tensor.dtype in PLAIN and not kept(name)]


def _stored_buffers(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, module in model.named_modules():
        for key, buffer in module._buffers.items():
            if buffer is not None and key not in module._non_persistent_buffers_set:
                yield (f"{name}.{key}" if name else key), buffer


def _kept_in_float32(model: torch.nn.Module) -> Callable[[str], bool]:
    """Return what says of a name whether the model's class keeps it in float32 in any half precision.

    Source: ``PreTrainedModel._get_dtype_plan`` of Transformers 5.24.
    """
    found = [getattr(module, "_keep_in_fp32_modules_strict", None) or () for module in model.modules()]
    patterns = sorted({pattern.replace("*", ".*") for each in found for pattern in each})
    if not patterns:
        return lambda name: False
    pattern = re.compile("|".join(patterns))
    return lambda name: pattern.search(name) is not None
