"""The loader under a coverage-guided fuzzer: ``python -m experiments.fuzz.guided CORPUS -runs=N``.

Atheris looks which branches of the loader a text reaches, and goes on from those that reach new ones. It
never returns, so it has a process of its own; every argument of libFuzzer is passed on.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["stabsearch.config", "stabsearch.errors", "yaml"]):
    from stabsearch.config import load_sweep, resolved_text
    from stabsearch.config.overrides import apply_overrides, parse_override
    from stabsearch.errors import UserError

SCRATCH = Path(
    tempfile.mkdtemp(prefix="stabsearch-guided-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
)


def one_input(content: bytes) -> None:
    """Load a text as a sweep, and its first line as an override; anything but two lines is a find."""
    path = SCRATCH / "sweep.yaml"
    path.write_bytes(content)
    try:
        resolved_text(load_sweep(path).sweep)
    except UserError as error:
        _check(error)
    try:
        apply_overrides({}, [parse_override(content.partition(b"\n")[0].decode(errors="replace"))])
    except UserError as error:
        _check(error)


def _check(error: UserError) -> None:
    lines = str(error).split("\n")
    if len(lines) != 2 or not lines[0] or not lines[1].strip():
        raise AssertionError(f"not two lines: {lines!r}")


def main() -> None:
    """Fuzz until the runs are over, or the first find; the folder of the texts is the first argument."""
    os.chdir(SCRATCH)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
