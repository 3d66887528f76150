"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("stabsearch", "numpy", "scipy", "pandas", "optuna")


def machine(*further: str) -> str:
    """Return processor, cores, Python and package versions, also of further packages, in one line."""
    versions = ", ".join(f"{name} {version(name)}" for name in (*_PACKAGES, *further))
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    """Return the processor's name where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
