"""What ``stabsearch ui --optuna`` starts: optuna-dashboard on a sweep's own study."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from stabsearch.config.address import in_full, without_password
from stabsearch.errors import UserError
from stabsearch.search.readable import KEY
from stabsearch.search.storage import JOURNAL
from stabsearch.search.stored import read_study, study_place


def dashboard_command(folder: Path, port: int) -> list[str]:
    """Return the command that shows a sweep's study on ``http://127.0.0.1:<port>``, and there only.

    Args:
        folder: the sweep's folder.
        port: where it listens.

    Raises:
        UserError: no sweep there, optuna-dashboard is not installed, or the study's address holds a password.
    """
    read_study(folder)
    beside = str(Path(sys.executable).parent)
    program = shutil.which("optuna-dashboard", path=beside) or shutil.which("optuna-dashboard")
    if program is None:
        raise UserError("optuna-dashboard is not installed", "pip install optuna-dashboard")
    return [program, "--host", "127.0.0.1", "--port", str(port), _storage(folder)]


def _storage(folder: Path) -> str:
    url, _ = study_place(folder)
    if url is None:
        return str((folder / JOURNAL).resolve())
    full = in_full(url, KEY)
    if full != without_password(full):  # everybody on the machine can read a command
        raise UserError(
            "the study's address holds a password, which optuna-dashboard would show to everybody here",
            "give it by PGPASSWORD or ~/.pgpass instead",
        )
    return full
