"""The command line in this process: what it said, and whether that is how a user is to be told."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from stabsearch.cli import main

LIMIT_S = 120  # a command that takes longer hangs; the slowest of an idle machine take two seconds
LOCKS = {".lock", "study.journal.lock"}
"""Written by every driver, whatever it finds."""


class HangError(BaseException):
    """The time is over; nothing of the program's own catches it."""


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def is_refusal(self) -> bool:
        """True for an error of the user's: two lines, the second one indented."""
        lines = self.err.rstrip("\n").split("\n")
        return self.code == 2 and len(lines) == 2 and lines[1].startswith("  ") and not self.out

    @property
    def is_answer(self) -> bool:
        """True for a sentence that says why nothing is recommended."""
        return self.err.count("\n") == 1 and self.err.rstrip().endswith(".")

    @property
    def problem(self) -> str:
        """Return what is wrong with the way it ended, empty when nothing is."""
        if "Traceback" in self.err or "a bug in stabsearch" in self.err:
            return f"traceback: {_last_of_traceback(self.err)}"
        if self.code not in {0, 1, 2}:
            return f"exit code {self.code}"
        if self.code == 2 and not self.out and not self.is_refusal and not self.is_answer:
            return f"exit code 2 without two lines: {self.err[:300]!r}"
        control = [c for c in self.err if ord(c) < 32 and c not in "\n\t"]
        return f"control characters on the terminal: {control[:5]!r}" if control else ""


def stabsearch(*arguments: object) -> Said:
    """Return what a command says; one that hangs says so, too."""
    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["stabsearch", *map(str, arguments)]
    code: int | str | None = 0
    try:
        with (
            limited(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            main()
    except SystemExit as end:
        code = end.code
    except HangError:
        return Said(124, out.getvalue(), f"Traceback: no end within {LIMIT_S} s")
    finally:
        sys.argv = argv
    return Said(int(code or 0), out.getvalue(), err.getvalue())


@contextlib.contextmanager
def limited(limit_s: int = LIMIT_S) -> Iterator[None]:
    """End what takes too long.

    Raises:
        HangError: the time is over.
    """

    def over(_: int, __: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(limit_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def checked(command: Callable[[], Said], folder: Path) -> tuple[Said, str]:
    """Return what a command said, and what is wrong with it: refused, it leaves the folder as it was."""
    before = snapshot(folder)
    said = command()
    if said.problem:
        return said, said.problem
    if said.is_refusal and (changed := before ^ snapshot(folder)):
        return said, f"refused, and changed {sorted({name for name, _ in changed})}"
    return said, ""


def snapshot(folder: Path) -> set[tuple[str, str]]:
    """Return name and digest of everything in a folder but locks."""
    found = set()
    for path in sorted(folder.rglob("*")):
        if path.name in LOCKS:
            continue
        if path.is_symlink():
            what = str(path.readlink())
        elif path.is_file():
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            what = str(os.lstat(path).st_mode)
        found.add((str(path.relative_to(folder)), what))
    return found


def _last_of_traceback(err: str) -> str:
    lines = [line for line in err.splitlines() if line.strip() and "a bug in stabsearch" not in line]
    places = [line.strip() for line in lines if line.strip().startswith("File ")]
    return f"{lines[-1][:200]} at {places[-1] if places else '?'}" if lines else "?"
