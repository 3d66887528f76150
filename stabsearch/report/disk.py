"""What files take on disk."""

from __future__ import annotations

import os
from pathlib import Path


def bytes_below(folder: Path) -> int:
    """Return what the files below a folder take on disk; those that go away meanwhile count as nothing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(where) / name).st_blocks * 512  # POSIX: a block is 512 bytes
            except FileNotFoundError:
                continue
    return total


def size_text(num_bytes: int) -> str:
    """Return a size for people.

    >>> size_text(1536), size_text(3 * 2**20), size_text(5 * 2**30)
    ('2 KiB', '3.0 MiB', '5.0 GiB')
    """
    for unit, power in (("GiB", 30), ("MiB", 20)):
        if num_bytes >= 2**power:
            return f"{num_bytes / 2**power:.1f} {unit}"
    return f"{num_bytes / 2**10:.0f} KiB"
