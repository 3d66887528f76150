"""Input paths of a sweep, from the folder of its file to absolute."""

from __future__ import annotations

import difflib
from pathlib import Path

from stabsearch.config.model import Sweep
from stabsearch.config.tasks import HubData, LocalData, ScriptTask, TextTask, TrainerTask
from stabsearch.errors import UserError


def resolve_paths(sweep: Sweep, folder: Path) -> Sweep:
    """Return the sweep with absolute input paths; ids on the Hugging Face Hub stay as they are.

    Args:
        sweep: the sweep as written.
        folder: where relative paths start: the folder of the sweep file. ``output_dir`` is not an
            input; it starts at the current folder.

    Raises:
        UserError: a file or folder that is not there, with its key.
    """
    sweep = _with_earlier(sweep, folder)
    task = sweep.task
    if isinstance(task, TrainerTask):
        code = {"folder": _folder(task.folder, folder)}
        return sweep.model_copy(update={"task": task.model_copy(update=code)})
    if isinstance(task, ScriptTask):
        places = {"path": _script(task.path, folder), "folder": _folder(task.folder, folder)}
        return sweep.model_copy(update={"task": task.model_copy(update=places)})
    if not isinstance(task, TextTask):
        return sweep
    update = {"data": _data(task.data, folder), "tokenizer": _source(task.tokenizer, folder, "tokenizer")}
    if isinstance(task.model, str):
        update["model"] = _source(task.model, folder, "model")
    return sweep.model_copy(update={"task": task.model_copy(update=update)})


def _with_earlier(sweep: Sweep, folder: Path) -> Sweep:
    """Return the sweep with the absolute path of the earlier sweep that it learns from.

    Whether it is there is asked when it is read: a sweep that has begun does not need it any more.
    """
    prior = sweep.search.prior
    if prior.earlier is None:
        return sweep
    known = prior.model_copy(update={"earlier": str(_absolute(prior.earlier, folder))})
    return sweep.model_copy(update={"search": sweep.search.model_copy(update={"prior": known})})


def _data(data: LocalData | HubData, folder: Path) -> LocalData | HubData:
    if isinstance(data, HubData):
        return data.model_copy(update={"path": _source(data.path, folder, "data", "path")})
    files = {"train": _file(data.train, folder, "train")}
    if data.eval is not None:
        files["eval"] = _file(data.eval, folder, "eval")
    return data.model_copy(update=files)


def _source(text: str | None, folder: Path, *key: str) -> str | None:
    """Return the absolute path of a local folder or file, or the Hub id as it is."""
    if text is None:
        return None
    path = _absolute(text, folder)
    if path.exists():
        return str(path)
    if text.startswith((".", "/", "~")):
        hint = (
            f"{_near(path)}; for a model or data set on the Hub write its id, without a leading {text[0]!r}"
        )
        raise UserError(f"no such folder: {text!r}{_read_as(text, path)}", hint, key=("task", *key))
    return text


def _file(text: str, folder: Path, name: str) -> str:
    path, key = _absolute(text, folder), ("task", "data", name)
    if path.is_dir():
        hint = "name the file itself, or write data: {path: FOLDER} for a data set folder"
        raise UserError(f"{text!r} is a folder, not a file", hint, key=key)
    if not path.is_file():
        raise UserError(f"no such file: {text!r}{_read_as(text, path)}", _near(path), key=key)
    return str(path)


def _script(text: str, folder: Path) -> str:
    path = _absolute(text, folder)
    if not path.is_file():
        raise UserError(f"no such script: {text!r}{_read_as(text, path)}", _near(path), key=("task", "path"))
    return str(path)


def _folder(text: str | None, folder: Path) -> str:
    """Return the absolute path of the folder that the user's code works in; default: that of the sweep."""
    path = _absolute(text or ".", folder)
    if not path.is_dir():
        raise UserError(f"no such folder: {text!r}{_read_as(str(text), path)}", _near(path),
                        key=("task", "folder"))  # fmt: skip
    return str(path)


def _absolute(text: str, folder: Path) -> Path:
    return (folder.absolute() / Path(text).expanduser()).resolve()


def _read_as(text: str, path: Path) -> str:
    return "" if text == str(path) else f" (read as {path})"


def _near(path: Path) -> str:
    """Return which file or folder was probably meant."""
    if not path.parent.is_dir():
        return f"the folder {path.parent} is not there either; relative paths start at the sweep file"
    near = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=1)
    return f"did you mean {near[0]!r}?" if near else "relative paths start at the folder of the sweep file"
