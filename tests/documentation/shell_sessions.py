"""What a page says was typed and answered, done again by a real shell."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from markdown_pages import ROOT, Block

MARK = "--- that was it, with exit code"
SHOWS_CODE = "echo $?"
COMPARED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
"""``...`` stands for anything; lines may be broken elsewhere."""


@dataclass(frozen=True)
class Typed:
    """One command of a session, and what the page says that it answered."""

    command: str
    answer: str


def typed(text: str) -> list[Typed]:
    """Return the commands of a session: after ``$``, gone on after ``>``, with their answers below them.

    >>> typed("$ echo a \\\\\\n> b\\na b\\n$ ls")
    [Typed(command='echo a \\\\\\nb', answer='a b\\n'), Typed(command='ls', answer='')]
    """
    found: list[tuple[list[str], list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif found and line.startswith("> ") and not found[-1][1]:
            found[-1][0].append(line[2:])
        else:
            assert found, f"a session begins with '$ ', not with {line!r}"
            found[-1][1].append(line)
    return [
        Typed("\n".join(command), "".join(f"{line}\n" for line in answer).lstrip("\n"))
        for command, answer in found
    ]


def run_session(block: Block, folder: Path) -> None:
    """Run the commands of a block one after another in one shell, and compare what they answer.

    A command that the page shows no answer of may say what it wants. Its exit code has to be 0, unless
    the page shows it by ``echo $?`` right after.
    """
    session = typed(block.text)
    said = _answers([each.command for each in session], folder)
    assert len(said) == len(session), f"{block.place}: the shell ended early:\n{said}"
    later = [*session[1:], Typed("", "")]
    for each, after, (answer, code) in zip(session, later, said, strict=True):
        is_shown = after.command == SHOWS_CODE
        assert code == 0 or is_shown, f"{block.place}: exit code {code} of {each.command}\n{answer}"
        _compare(block, each, answer)


def _compare(block: Block, each: Typed, answer: str) -> None:
    if not each.answer.strip():
        return
    checker, example = doctest.OutputChecker(), doctest.Example(each.command, each.answer)
    differs = checker.output_difference(example, answer, COMPARED)
    assert checker.check_output(each.answer, answer, COMPARED), f"{block.place}: {each.command}\n{differs}"


def _answers(commands: list[str], folder: Path) -> list[tuple[str, int]]:
    """Return what each command wrote, to both streams as in a terminal, and its exit code."""
    mark = f"_mark() {{ local code=$?; printf '\\n{MARK} %s\\n' $code; return $code; }}\n"
    script = mark + "".join(f"{command}\n_mark\n" for command in commands)
    parts = re.split(rf"\n{MARK} (\d+)\n", run_script(script, folder).stdout)
    return [(answer, int(code)) for answer, code in zip(parts[0::2], parts[1::2], strict=False)]


def run_script(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Return a script of commands, ended, where ``stabsearch`` is the one of this checkout."""
    return subprocess.run(
        ["bash", "--norc", "-c", script], cwd=folder, env=_environment(folder.parent / "bin"), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip


def _environment(programs: Path) -> dict[str, str]:
    programs.mkdir(exist_ok=True)
    program = programs / "stabsearch"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stabsearch "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    plain = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **plain, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
