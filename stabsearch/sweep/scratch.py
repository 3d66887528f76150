"""One folder for everything temporary of a run, gone with it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stabsearch.trial.temporary import end_processes_of, temporary_folder


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder the home of temporary files, of this process and of those that it starts.

    Workers that are killed leave their files there; so does a whole run that is killed, and the next one
    removes them. Processes that were started meanwhile do not outlive it.
    """
    before, default = os.environ.get("TMPDIR"), tempfile.tempdir
    with temporary_folder() as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = default
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before
            end_processes_of(folder)  # a worker that still starts, its Ray gone, would make the folder anew
