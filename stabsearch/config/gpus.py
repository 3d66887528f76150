"""The GPUs of this machine, without asking torch, which is too slow for reading a configuration."""

from __future__ import annotations

import os
from pathlib import Path

DEVICES = Path("/dev")


def visible_gpus() -> tuple[str, ...]:
    """Return the names, for ``CUDA_VISIBLE_DEVICES``, of NVIDIA's GPUs that this process may use."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return tuple(name.strip() for name in allowed.split(",") if name.strip())
    number = len(list(DEVICES.glob("nvidia[0-9]*")))
    return tuple(map(str, range(number)))  # a container's numbers, whatever the machine calls them
