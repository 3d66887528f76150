"""The live view on a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from pty import openpty
from subprocess import Popen

import pyte
import pytest
from rich.cells import cell_len
from sweep_runs import SLOW, Home

pytestmark = pytest.mark.cli
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
SETTINGS = (*SLOW, "budget.trials=5", "tracking.required=false")
RUNNING = re.compile(r" \d+/150 +[\d.]+  ▸ at [\d.]+e-?\d")


@dataclass
class Terminal:
    """One end of a pseudo-terminal, as somebody sees it who sits before it."""

    master: int
    process: Popen[bytes]
    screen: pyte.Screen = field(default_factory=lambda: pyte.Screen(80, 24))
    written: str = ""

    def __post_init__(self) -> None:
        self._stream = pyte.ByteStream(self.screen)

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def look(self) -> bool:
        """Take what was written next; False once the program has gone."""
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self._stream.feed(data)
        self.written += data.decode(errors="replace")
        return bool(data)

    def look_until(self, is_there: Callable[[str], object]) -> None:
        while not is_there(self.text):
            assert self.look(), f"ended before it was there:\n{self.text}"

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    def end(self) -> int:
        while self.look():
            pass
        return self.process.wait()

    def is_cursor_shown(self) -> bool:
        return self.written.rfind("\x1b[?25h") > self.written.rfind("\x1b[?25l")

    def widest(self, since: int = 0) -> int:
        lines = re.split(r"[\r\n]+", CONTROL.sub("", self.written[since:]))
        return max(map(cell_len, lines))


@contextmanager
def terminal(tmp_path: Path, **variables: str) -> Iterator[Terminal]:
    """``stabsearch run`` on a tiny sweep, with a terminal as stdout and stderr."""
    home = Home.made(tmp_path / "home")
    master, slave = openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    options = [word for setting in SETTINGS for word in ("--set", setting)]
    command = [sys.executable, "-m", "stabsearch.cli", "run", str(home.path / "sweep.yaml"), *options]
    process = Popen(
        command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**env, "TERM": "xterm-256color", **variables},
    )  # fmt: skip
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_a_sweep_is_seen_from_its_first_step_to_its_answer(tmp_path: Path) -> None:
    """Steps of running trials, the answer so far, a window that shrinks; at the end the cursor is back."""
    with terminal(tmp_path) as seen:
        seen.look_until(lambda text: RUNNING.search(text) and "If stopped now: ? Not enough" in text)
        assert re.search(r"\d of 5 trials · 1 running", seen.text)  # the canary may have ended by now
        assert seen.widest() <= 80
        seen.resize(60, 20)
        begun = len(seen.written)
        seen.look_until(lambda text: "\x1b[2J" in seen.written[begun:] and RUNNING.search(text))
        anew = seen.written.index("\x1b[2J", begun)
        assert [line for line in seen.screen.display if line.startswith("tiny  ")]
        seen.look_until(lambda text: "✓ stable" in text)
        assert not seen.is_cursor_shown()
        assert seen.end() in {0, 2}
        assert seen.widest(since=anew) <= 60
        assert seen.is_cursor_shown()
        assert "▸" not in seen.text


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_an_interrupt_gives_the_terminal_back(tmp_path: Path, how: str) -> None:
    """The picture is gone, the cursor shown, and the way on is said; without colour where none is wanted."""
    with terminal(tmp_path, NO_COLOR="1") as seen:
        seen.look_until(lambda text: "▸" in text)
        os.killpg(seen.process.pid, signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM)
        assert seen.end() == 130
        assert seen.is_cursor_shown()
        assert "the same command goes on where it stopped" in " ".join(seen.text.split())
        assert "▸" not in seen.text
        assert not re.search(r"\x1b\[[\d;]*3\dm", seen.written)
