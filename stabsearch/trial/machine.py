"""Where a trial ran."""

from __future__ import annotations

import os
import platform
import socket
from functools import cache

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
