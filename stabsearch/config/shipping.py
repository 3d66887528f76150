"""What a sweep needs on the machine that runs it, when that is another one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.config.address import is_written_out
from stabsearch.config.load import load_as_written
from stabsearch.config.paths import resolve_paths
from stabsearch.errors import KeyPath, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stabsearch.config.load import LoadedSweep
    from stabsearch.config.model import Sweep

FILES: tuple[KeyPath, ...] = (("task", "path"), ("task", "data", "train"), ("task", "data", "eval"))
FOLDERS: tuple[KeyPath, ...] = (("task", "folder"),)
FILES_OR_IDS: tuple[KeyPath, ...] = (("task", "model"), ("task", "tokenizer"), ("task", "data", "path"))
EARLIER: KeyPath = ("search", "prior", "earlier")
_RELATIVE_DATABASE = re.compile(r"sqlite(\+\w+)?:///[^/]")
INPUTS = (*FILES, *FOLDERS, *FILES_OR_IDS, EARLIER)
"""Every key of a sweep that names a file or folder to read; a test holds it complete."""


def load_for_cluster(path: Path, overrides: Sequence[str] = ()) -> tuple[LoadedSweep, dict[KeyPath, Path]]:
    """Return the sweep as written, and by their keys the files and folders of this machine that it needs.

    Relative paths are of this machine and travel with the sweep. Absolute ones are of the cluster, where
    alone it can be seen whether they are there.

    Raises:
        UserError: the sweep is wrong, a file is missing, its results would be written where they do not
            last, or it asks for what has no meaning on a cluster.
    """
    loaded = load_as_written(path, overrides)
    try:
        _check_place(loaded.sweep)
        return loaded, _local_inputs(loaded.sweep, path)
    except UserError as error:
        raise loaded.source.error(error) from None


def _check_place(sweep: Sweep) -> None:
    if sweep.resources.driver == "inline":
        message = "resources.driver: inline runs every trial in one process, on the cluster's head"
        raise UserError(message, "--set resources.driver=ray", key=("resources", "driver"))
    if sweep.resources.packing is not None:
        message = "resources: auto measures what one machine holds, and says nothing of a cluster"
        hint = "write resources: {cpus_per_trial: ..., gpus_per_trial: ...}, what one trial takes"
        raise UserError(message, hint, key=("resources",))
    if not Path(sweep.output_dir).is_absolute():
        message = f"results in {sweep.output_dir!r} would go with the job's own copy of the folder"
        hint = "--set output_dir=/PATH names a folder of the cluster that outlives the job and its machine"
        raise UserError(message, hint, key=("output_dir",))
    for key, url in ((("study", "storage"), sweep.study.storage), (("tracking", "uri"), sweep.tracking.uri)):
        if url and _RELATIVE_DATABASE.match(url):
            message = "the database would go with the job's own copy of the folder"
            raise UserError(message, "four slashes begin an absolute path: sqlite:////PATH", key=key)
        if url and is_written_out(url):
            message = "the password in it would lie in the job's archive, which the cluster keeps"
            hint = f"write {url}, and set that variable in the cluster's environment"
            raise UserError(message, hint, key=key)


def _local_inputs(sweep: Sweep, path: Path) -> dict[KeyPath, Path]:
    folder = path.parent
    written = sweep.model_dump()
    given = {key: text for key in INPUTS if isinstance(text := _part(written, key), str)}
    elsewhere = [key for key, text in given.items() if text.startswith(("/", "~"))]
    for key in elsewhere:  # what cannot be looked at here is looked up as something that is here
        _put(written, key, str(folder.absolute()) if key not in FILES else str(path.absolute()))
    resolved = resolve_paths(type(sweep).model_validate(written), folder).model_dump()
    found = {key: Path(str(_part(resolved, key))) for key in given if key not in elsewhere}
    return {key: place for key, place in found.items() if place.is_absolute()}


def _part(data: Any, key: KeyPath) -> Any:
    for name in key:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def _put(data: dict[str, Any], key: KeyPath, value: str) -> None:
    *above, last = key
    _part(data, tuple(above))[last] = value
