"""Where a trial ran."""

from __future__ import annotations

import math
import os
import platform
import resource
import socket
import sys
from functools import cache
from pathlib import Path

import torch
import transformers

from stabsearch.version import __version__


@cache
def machine() -> dict[str, str]:
    """Return host, device and library versions, for the record."""
    cpu = platform.processor() or platform.machine()
    return {
        "host": socket.gethostname(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else cpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "stabsearch": __version__,
    }


def worker() -> str:
    """Return the name of this process among all machines, ``host:pid``; of several, of who started them."""
    pid = os.getppid() if "LOCAL_RANK" in os.environ else os.getpid()
    return f"{socket.gethostname()}:{pid}"


CUDA_CONTEXT_BYTES = 600 * 2**20  # chosen: what a process takes on a GPU beside its tensors, at most


def memory_shares(on_gpu: bool) -> dict[str, float]:
    """Return which share of memory this process has taken at most: of the ``machine``, and of its ``gpu``."""
    unit = 1 if sys.platform == "darwin" else 1024
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    whole = min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), _container_limit())
    if not on_gpu:
        return {"machine": taken / whole}
    on_device = torch.cuda.max_memory_reserved() + CUDA_CONTEXT_BYTES
    return {"machine": taken / whole, "gpu": on_device / torch.cuda.mem_get_info()[1]}


def _container_limit() -> float:
    """Return the memory that the container of this process may use, bytes; infinity without a limit."""
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return math.inf
    return float(limit) if limit.isdigit() else math.inf
