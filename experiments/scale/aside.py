"""What is measured in a process of its own: going on with a study, and building its reports."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.scale.setting import Setting
from experiments.scale.simulate import campaign_of, memory_bytes, open_study
from experiments.scale.stopwatch import Stopwatch

REPORTS = ("trials.csv", "trials.parquet", "frontier.json", "report.md", "report.html")


def resume(setting: Setting, folder: Path) -> dict[str, Any]:
    """Return what it takes to go on with a study: to open it, and until the first trial could start."""
    from stabsearch.report.views import PlainView

    before = memory_bytes()
    clock = _Clock()
    prepared = setting.prepared(folder)
    study = open_study(prepared, setting, folder, Stopwatch())
    opened = clock.lap()
    unfinished = len(study.unfinished())
    campaign = campaign_of(prepared, study, Stopwatch(), PlainView(prepared.sweep), lambda: 0.0)
    has_work = campaign.has_work()
    first = clock.lap()
    return {
        "resume_open_s": opened,
        "resume_first_trial_s": first,
        "resume_memory_bytes": memory_bytes() - before,
        "resume_records": len(study.raw_records),
        "resume_unfinished": unfinished,
        "resume_has_work": has_work,
    }


def report(setting: Setting, folder: Path) -> dict[str, Any]:
    """Return what it takes to read a study and to write every report of it."""
    from stabsearch.search.folder import SweepFolder
    from stabsearch.sweep.reading import read_sweep
    from stabsearch.sweep.result import write

    SweepFolder(setting.prepared(folder).sweep, "auto").write_resolved()  # names the database
    clock = _Clock()
    result = read_sweep(folder)
    read = clock.lap()
    write(result)
    sizes = {f"{name}_bytes": (folder / name).stat().st_size for name in REPORTS}
    return {"report_read_s": read, "report_write_s": clock.lap(), **sizes}


class _Clock:
    """Processor seconds since it was last looked at."""

    def __init__(self) -> None:
        self._since = time.process_time()

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        now = time.process_time()
        passed, self._since = now - self._since, now
        return passed


ASIDE: dict[str, Callable[[Setting, Path], dict[str, Any]]] = {"resume": resume, "report": report}


def measured_aside(setting: Setting, folder: Path) -> dict[str, Any]:
    """Return what both take for a study as it stands, on a copy of it."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="stabsearch-scale-") as scratch:
        for name in ASIDE:
            copy = Path(scratch) / name / folder.name
            copy.mkdir(parents=True)
            for path in folder.glob("study.*"):
                shutil.copy(path, copy)
            command = [sys.executable, "-m", "experiments.scale.aside", name, _as_text(setting), str(copy)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.update(json.loads(done.stdout.splitlines()[-1]))
    return found


def _as_text(setting: Setting) -> str:
    return json.dumps(vars(setting))


def main() -> None:
    """Measure one of them, and print it as JSON."""
    name, text, folder = sys.argv[1:]
    print(json.dumps(ASIDE[name](replace(Setting(), **json.loads(text)), Path(folder))))


if __name__ == "__main__":
    main()
