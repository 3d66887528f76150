"""Processes of this machine that are sent things and answer: they end by themselves when the line is cut."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from stabsearch.driver.base import WorkerLost


def same_modules() -> dict[str, str]:
    """Return the variable by which a process finds the modules that this one finds."""
    return {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}


@dataclass(frozen=True)
class Child:
    """One process, and the line to it; it ends by itself when the line is cut."""

    index: int
    process: subprocess.Popen[bytes]
    line: Connection

    @classmethod
    def started(cls, index: int, variables: dict[str, str], module: str) -> Child:
        """Start a Python module as a process; it is given its end of the line as its only argument."""
        ours, theirs = Pipe()
        command = [sys.executable, "-P", "-m", module, str(theirs.fileno())]
        with theirs:
            process = subprocess.Popen(
                command, env=variables, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                stdout=2,  # stdout may belong to an answer
            )  # fmt: skip
        return cls(index, process, ours)

    @property
    def is_alive(self) -> bool:
        """Return whether it has not gone."""
        return self.process.poll() is None

    def send(self, thing: Any) -> None:
        """Send something that can be pickled; a process that has gone is noticed when it should answer."""
        with suppress(BrokenPipeError, ConnectionResetError):
            # plain pickle: with torch's own ways between processes, weights would travel as open files
            self.line.send_bytes(pickle.dumps(thing, protocol=5))

    def answer(self) -> Any:
        """Return what it made of what it was sent; waits for it.

        Raises:
            WorkerLost: it is gone.
        """
        try:
            said = self.line.recv()
        except (EOFError, ConnectionResetError):
            code = self.process.wait()
            raise WorkerLost(f"process {self.index} of the trial went away, exit status {code}") from None
        return said

    def end(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        self.line.close()


def listening(line: Connection) -> SimpleQueue[Any]:
    """Return what is sent to this process, as it comes; called in a child, with its end of the line.

    When the line is cut, the process ends at once, whatever it is at. A terminal's interrupt is left to the
    parent, which gets it as well.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    heard: SimpleQueue[Any] = SimpleQueue()
    Thread(target=_listen, args=(line, heard), daemon=True).start()
    return heard


def _listen(line: Connection, heard: SimpleQueue[Any]) -> None:
    try:
        while True:
            heard.put(line.recv())
    finally:
        os._exit(0)


def speaking(ranks: list[Child], timeout_s: float) -> list[Child]:
    """Return those that have something to say within the time, or have gone."""
    ready = wait([rank.line for rank in ranks], max(timeout_s, 0.0))
    return [rank for rank in ranks if rank.line in ready]
