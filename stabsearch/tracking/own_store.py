"""The database that a sweep keeps for itself where no tracking server is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabsearch.tracking.experiment import connect

if TYPE_CHECKING:
    from pathlib import Path


def make_whole(path: Path) -> None:
    """Make an MLflow database, with all of its tables or not at all; one that is there stays as it is.

    MLflow makes its tables one after another, over seconds. Killed meanwhile, it finds some of them the next
    time, tries to make all of them again, and fails for ever.

    Args:
        path: of the database, in a folder that nobody else makes one in.
    """
    if path.exists():
        return
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # half of one, left by a process that was killed
    connect(f"sqlite:///{new}").search_experiments(max_results=1)
    new.replace(path)
