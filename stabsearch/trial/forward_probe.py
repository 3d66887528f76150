"""What is really in force inside a model's forward: autocast, and the rounding of matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from stabsearch.trial.casting import name_of

NO_BACKWARD = -1
"""What autograd calls its present task when there is none (``torch.utils.checkpoint`` asks the same)."""
SIZE = 1024  # chosen: as large as the layers of a model, for which a GPU's fast kernels are meant


class ForwardProbe:
    """Looks once, from within the first forward, when everything has been set that is going to be."""

    def __init__(self, model: torch.nn.Module, device: torch.device) -> None:
        self.autocast_dtype = self.matmul_precision = "unknown"
        self.is_recomputed = False
        """True when the first backward ran modules again: activations are not kept for it."""
        self.weight_dtypes: set[str] = set()
        """Of the weights that the modules met, put together where they are shared out (FSDP casts them)."""
        self._device = device
        self._has_looked = False
        self._num_forwards = 0
        # autocast wraps model.forward, which hooks of the model itself run outside of; which of
        # the inner modules a forward enters first, or at all, only the model knows
        inner = [module for module in model.modules() if module is not model] or [model]
        self._handles = [module.register_forward_pre_hook(self._look) for module in inner]
        self._next = model.register_forward_pre_hook(self._begin)

    def _begin(self, *_: Any) -> None:
        """Take the hooks off when the second forward begins; what is measured on the way does not count."""
        self._num_forwards += torch.is_grad_enabled()
        if self._num_forwards > 1:
            for handle in (*self._handles, self._next):
                handle.remove()
            self._handles.clear()

    def _look(self, module: torch.nn.Module, *_: Any) -> None:
        if not self._has_looked:
            self._has_looked = True
            kind = self._device.type
            enabled = torch.is_autocast_enabled(kind)
            self.autocast_dtype = name_of(torch.get_autocast_dtype(kind) if enabled else torch.float32)
            self.matmul_precision = matmul_in_force(self._device)
        self.weight_dtypes |= {name_of(weight.dtype) for weight in _put_together(module)}
        self.is_recomputed = self.is_recomputed or torch._C._current_graph_task_id() != NO_BACKWARD


def _put_together(module: torch.nn.Module) -> list[torch.Tensor]:
    own = module.parameters(recurse=False)
    return [weight for weight in own if weight.is_floating_point() and not hasattr(weight, "to_local")]


def matmul_in_force(device: torch.device) -> str:
    """Return how products of float32 matrices are rounded on a device: ``ieee``, ``tf32`` or ``bf16``.

    On a GPU a product is tried out: the setting alone says nothing of a device without tf32, or of
    ``NVIDIA_TF32_OVERRIDE``. On a processor the setting counts, since few really round by it.
    """
    if device.type == "cuda":
        return rounding_of(torch.matmul, device)
    setting = torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
    return "bf16" if setting == "bf16" else "ieee"


@torch.no_grad()
def rounding_of(
    multiply: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], device: torch.device, size: int = SIZE
) -> str:
    """Return which of their 23 bits after the point a product of float32 matrices keeps of its factors.

    Args:
        multiply: two square matrices -> their product.
        device: to multiply on.
        size: rows and columns.
    """
    one = torch.eye(size, device=device)
    with torch.autocast(device.type, enabled=False):
        # tf32 keeps 10 bits and bfloat16 7; what is multiplied by one is only rounded
        twelfth, ninth = (multiply(one + one * 2.0**-bit, one)[0, 0] for bit in (12, 9))
    if float(twelfth) != 1:
        return "ieee"
    return "tf32" if float(ninth) != 1 else "bf16"
