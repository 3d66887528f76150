"""All numbers of a model: parameters and every buffer, tied tensors once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import torch


def weights_of(model: torch.nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return every parameter and buffer by name, and which names stand for another's tensor.

    A ``state_dict`` leaves out buffers that are not persistent; a forward depends on them too.
    """
    first: dict[tuple[int, torch.Size, tuple[int, ...], torch.dtype], str] = {}
    tensors: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    for name, tensor in _named(model):
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in first:
            aliases[name] = first[place]
        else:
            first[place] = name
            tensors[name] = tensor.detach()
    return tensors, aliases


def load_weights(
    model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], aliases: Mapping[str, str]
) -> None:
    """Write every parameter and buffer into a model of the same make.

    Raises:
        KeyError: the model has a tensor that is not there.
        ValueError: shapes differ.
    """
    with torch.no_grad():
        for name, tensor in _named(model):
            value = tensors[name if name in tensors else aliases[name]]
            if value.shape != tensor.shape:
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}, stored is {tuple(value.shape)}")
            tensor.data = value.to(tensor.device, copy=True)


def num_bytes(tensors: Mapping[str, torch.Tensor]) -> int:
    """Return how many bytes the tensors hold."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def nonfinite_weights(model: torch.nn.Module) -> list[str]:
    """Return the names of the parameters that hold a NaN or an infinity.

    Of weights that are shared out over processes, in the part that this one holds.
    """
    return [name for name, weight in model.named_parameters() if not _is_finite(weight.detach())]


def first_nonfinite_weight(model: torch.nn.Module) -> tuple[str, float] | None:
    """Return the first of these parameters and a number of it that is not finite; None without any."""
    names = nonfinite_weights(model)
    if not names:
        return None
    weight = _own_part(model.get_parameter(names[0]).detach())
    return names[0], float(weight[~weight.isfinite()][0])


def _own_part(weight: torch.Tensor) -> torch.Tensor:
    """Return what this process holds; a weight that is shared out is asked as a whole by all at once only."""
    part: torch.Tensor = weight.to_local() if hasattr(weight, "to_local") else weight
    return part


def _is_finite(weight: torch.Tensor) -> bool:
    """Return whether all numbers are finite; those of a dtype that cannot be asked (float8) count as such."""
    try:
        finite = torch.isfinite(_own_part(weight))
    except NotImplementedError:
        return True
    return finite.is_meta or bool(finite.all())


def _named(model: torch.nn.Module) -> chain[tuple[str, torch.Tensor]]:
    return chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))
