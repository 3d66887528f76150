"""A sweep made ready to be sent to a cluster's job server; checked here first."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import stabsearch
from stabsearch.config.load import LoadedSweep, read_document
from stabsearch.config.overrides import apply_overrides, parse_override
from stabsearch.config.shipping import load_for_cluster
from stabsearch.config.write import data_text, identity
from stabsearch.driver.environment import worker_variables
from stabsearch.driver.package import Packed
from stabsearch.errors import KeyPath, UserError
from stabsearch.trial.temporary import temporary_folder
from stabsearch.version import __version__

STOP_WAIT_S = (
    120  # chosen: a sweep that is stopped writes its reports first; Ray's own 3 s end it in the middle
)
SECRET_WORDS = ("TOKEN", "PASSWORD", "SECRET", "KEY", "CREDENTIAL")
OWN_CODE_EXCLUDES = ["__pycache__", "*.pyc"]
START = PurePosixPath("stabsearch-start.sh")
"""In the archive: finds the interpreter, and starts the sweep with it."""


@dataclass(frozen=True)
class Submission:
    """A job to be submitted; its archive is there for as long as it is in use."""

    base: str
    """Id without the number of the start: the same for the same sweep with results in the same place."""
    entrypoint: str
    runtime_env: dict[str, Any]
    metadata: dict[str, str]
    """What everybody sees who may list jobs."""
    warnings: tuple[str, ...] = ()


@contextmanager
def prepared(
    sweep: Path, overrides: Sequence[str] = (), *, working_dir: Path | None = None,
    excludes: Sequence[str] = (), variables: Sequence[str] = (), ships_own_code: bool = True,
) -> Iterator[Submission]:  # fmt: skip
    """Give a sweep checked and packed.

    Args:
        sweep: its file.
        overrides: ``key=value`` texts; they travel inside the archive, unseen by who lists jobs.
        working_dir: the folder that is sent; default: that of the sweep file.
        excludes: patterns of what is not sent of it.
        variables: names of environment variables whose values are passed on, for everybody to see.
        ships_own_code: send this stabsearch, too; otherwise the cluster has to have one.

    Raises:
        UserError: the sweep or an option is wrong, or something it needs is not in the folder.
    """
    root = (working_dir or sweep.parent).resolve()
    loaded, inputs = load_for_cluster(sweep, overrides)
    if not root.is_dir():
        raise UserError(f"no such folder: {str(working_dir)!r}", "--working-dir names the folder to send")
    packed = Packed.of(root, excludes)
    name = _inside(sweep.resolve(), packed, str(sweep))
    for key, place in inputs.items():
        _check_inside(key, place, packed, loaded)
    passed = _passed(variables)
    with temporary_folder() as folder:
        archive = folder / "sweep.zip"
        start = Path(__file__).with_name("job_start.sh").read_bytes()
        packed.write(archive, {START: start, **_overridden(sweep, name, overrides)})
        yield Submission(
            base=f"stabsearch-{loaded.sweep.name}-{_digest(loaded)}",
            # exec: a signal to the job reaches the sweep, not a shell around it
            entrypoint=f"exec sh {START} {shlex.quote(str(name))}",
            runtime_env={
                "working_dir": str(archive),
                "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S), **passed},
                **_own_code(ships_own_code),
            },
            metadata={
                "stabsearch": __version__,
                "sweep": loaded.sweep.name,
                "folder": str(Path(loaded.sweep.output_dir) / loaded.sweep.name),
                "package": hashlib.sha256(archive.read_bytes()).hexdigest()[:16],
            },
            warnings=tuple(_warning(name) for name in passed),
        )


def _own_code(is_shipped: bool) -> dict[str, Any]:
    """Return the part of a runtime environment with this stabsearch in it.

    Always this one, also where the cluster has another: one version decides what a sweep is.
    """
    if not is_shipped:
        return {}
    return {"py_modules": [str(Path(stabsearch.__file__).parent)], "excludes": OWN_CODE_EXCLUDES}


def _inside(path: Path, packed: Packed, shown: str) -> PurePosixPath:
    """Return the path of the sweep file in the archive."""
    if not path.is_relative_to(packed.root):
        hint = "--working-dir names a folder that the sweep file is in"
        raise UserError(f"{shown} is outside of {packed.root}, the folder to send", hint)
    if not packed.holds(path):
        raise UserError(f"{shown} would not be sent itself", "it is hidden, or --exclude takes it away")
    return PurePosixPath(path.relative_to(packed.root).as_posix())


def _check_inside(key: KeyPath, place: Path, packed: Packed, loaded: LoadedSweep) -> None:
    if not place.is_relative_to(packed.root):
        message = f"{place} is outside of {packed.root}, the folder that is sent to the cluster"
        hint = "--working-dir names a folder around both, or write its absolute path on the cluster"
    elif not packed.holds(place):
        message = f"{place} is left out of what is sent to the cluster"
        hint = "hidden files, results of sweeps and --exclude are; or write its absolute path on the cluster"
    else:
        return
    raise loaded.source.error(UserError(message, hint, key=key))


def _overridden(sweep: Path, name: PurePosixPath, overrides: Sequence[str]) -> dict[PurePosixPath, bytes]:
    """Return the sweep file with ``--set`` written into it: a command line would show it to everybody."""
    if not overrides:
        return {}
    given = tuple(parse_override(text) for text in overrides)
    data = apply_overrides(read_document(sweep).data, given)
    return {name: f"# {sweep.name} with what --set gave, as submitted\n{data_text(data)}".encode()}


def _digest(loaded: LoadedSweep) -> str:
    """Return what tells a sweep, and the place of its results, from others."""
    same = {"output_dir": loaded.sweep.output_dir, **identity(loaded.sweep)}
    return hashlib.sha256(json.dumps(same, sort_keys=True, default=str).encode()).hexdigest()[:10]


def _passed(names: Sequence[str]) -> dict[str, str]:
    """Return the values of environment variables to be passed on."""
    own = {*worker_variables(1), "RAY_JOB_STOP_WAIT_TIME_S"}
    for name in names:
        if "=" in name:
            raise UserError(f"--env {name.partition('=')[0]}=…: a value on a command line is seen by others",
                            "set it in this shell's environment and write --env NAME")  # fmt: skip
        if name in own or name.startswith("RAY_"):
            raise UserError(f"--env {name}: stabsearch or Ray sets it itself", "leave it out")
        if name not in os.environ:
            raise UserError(f"--env {name}: not set here", f"export {name} first, or leave it out")
    return {name: os.environ[name] for name in names}


def _warning(name: str) -> str:
    what = "looks like a secret; it" if any(word in name.upper() for word in SECRET_WORDS) else "it"
    return (
        f"--env {name}: {what} is readable for everybody who may list this cluster's jobs; "
        "a variable in the cluster's own environment is not"
    )
