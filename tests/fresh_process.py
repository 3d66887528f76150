"""Command lines in a process that never saw the training; it starts once for many of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
PROGRAM = """
import contextlib, io, json, sys
from stabsearch.cli import main
said = []
for arguments in json.load(sys.stdin):
    sys.argv, out, err = ["stabsearch", *arguments], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main()
        except SystemExit as ended:
            code = ended.code
    said.append([code or 0, out.getvalue(), err.getvalue()])
json.dump(said, sys.stdout)
"""


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """Return the JSON object on stdout; NaN and Infinity are none."""

        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is no JSON")

        found: dict[str, Any] = json.loads(self.out, parse_constant=refuse)
        return found


def run_afresh(commands: Sequence[Sequence[object]], modules: Sequence[Path] = (HERE,)) -> list[Said]:
    """Return what each command line said, all run in one fresh process far from this folder.

    Args:
        commands: arguments of ``stabsearch``.
        modules: folders whose modules the process can import.
    """
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([[str(argument) for argument in arguments] for arguments in commands]),
        capture_output=True,
        text=True,
        cwd="/",
        env=environment(modules),
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return [Said(*each) for each in json.loads(answer.stdout)]


def environment(modules: Sequence[Path]) -> dict[str, str]:
    """Return an environment in which only these folders are on PYTHONPATH."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, modules)), "NO_COLOR": "1"}
