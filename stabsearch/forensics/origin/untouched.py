"""The state of a model and of the random generators, kept while a step runs and put back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


class Untouched:
    """Everything that a forward and backward pass changes, as it was when this was made.

    Buffers, random generators and ``config.problem_type`` (Transformers writes the kind of the
    first labels there) come back; gradients do not: they are cleared.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._config: Any = getattr(model, "config", None)
        self._buffers = [
            (module, name, buffer, None if buffer is None else buffer.detach().clone())
            for module in model.modules()
            for name, buffer in module._buffers.items()
        ]
        self._modes = [(module, module.training) for module in model.modules()]
        self._problem_type = getattr(self._config, "problem_type", None)
        self._torch_rng = torch.get_rng_state()
        is_cuda_used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        self._cuda_rng = torch.cuda.get_rng_state_all() if is_cuda_used else []
        self._python_rng, self._numpy_rng = random.getstate(), np.random.get_state()
        model.zero_grad(set_to_none=True)

    def put_back(self) -> None:
        """Make model and generators what they were; a step that follows is the same step."""
        for module, name, buffer, values in self._buffers:
            _put_back_buffer(module, name, buffer, values)
        for module, mode in self._modes:
            module.training = mode
        if hasattr(self._config, "problem_type"):
            self._config.problem_type = self._problem_type
        torch.set_rng_state(self._torch_rng)
        if self._cuda_rng:
            torch.cuda.set_rng_state_all(self._cuda_rng)
        random.setstate(self._python_rng)
        np.random.set_state(self._numpy_rng)
        self._model.zero_grad(set_to_none=True)


def _put_back_buffer(module: torch.nn.Module, name: str, buffer: Any, values: Any) -> None:
    module._buffers[name] = buffer
    # an expanded buffer cannot be written to, and what never changed need not be
    if buffer is not None and not torch.equal(buffer, values):
        with torch.no_grad():
            buffer.copy_(values)
