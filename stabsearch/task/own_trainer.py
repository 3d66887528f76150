"""A Trainer that a function of the user's makes."""

from __future__ import annotations

import importlib
import traceback
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabsearch.errors import UserError
from stabsearch.task.own_code import OwnWorkload, first_line, to_mend, without_length
from stabsearch.task.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import TrainingArguments

    from stabsearch.config import TrainerTask
    from stabsearch.task.rows import TaskTable

KEY = ("task", "factory")
HERE = "."


def build(task: TrainerTask, table: TaskTable | None = None) -> OwnWorkload:
    """Return the workload of a factory: it is imported here, and called for every trial.

    Args:
        task: the part ``task`` of the sweep.
        table: None: the factory reads its own data.

    Raises:
        UserError: there is no such module or function, or it cannot be imported.
    """
    folder = task.folder or HERE
    surroundings = Surroundings(folder, folder, ("task", "folder"))
    with surroundings.entered():
        factory = _factory(task)

    def make(args: TrainingArguments) -> Any:
        try:
            return factory(args)
        except (Exception, SystemExit) as error:
            raise _told(task, error) from error

    return OwnWorkload(make, surroundings, KEY, task.chance_loss, task.eval_rows)


def _factory(task: TrainerTask) -> Callable[[TrainingArguments], Any]:
    module_name, _, path = task.factory.partition(":")
    module = _module(task, module_name)
    thing: Any = module
    for name in path.split("."):
        if not hasattr(thing, name):
            raise UserError(f"no {path!r} in {module_name} ({module.__file__})",
                            f"it holds {', '.join(_functions(module)[:8]) or 'nothing that can be called'}",
                            key=KEY)  # fmt: skip
        thing = getattr(thing, name)
    if not callable(thing):
        raise UserError(f"{task.factory} is a {type(thing).__name__}, and cannot be called",
                        "name a function that takes TrainingArguments and returns a Trainer",
                        key=KEY)  # fmt: skip
    factory: Callable[[TrainingArguments], Any] = thing
    return factory


def _functions(module: Any) -> list[str]:
    """Return what can be called and was made in a module itself."""
    own = [
        name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
    ]
    return sorted(name for name in own if callable(vars(module)[name]) and not name.startswith("_"))


def _module(task: TrainerTask, name: str) -> Any:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _told(task, error) from error  # it is there, and imports something that is not
        where = f"it is looked for in {task.folder or 'the current folder'} and where Python looks"
        hint = f"write {name.removesuffix('.py')}:..., without .py" if name.endswith(".py") else where
        raise UserError(f"no module {name!r}", hint, key=KEY) from None
    except (Exception, SystemExit) as error:
        raise _told(task, error) from error
    _check_theirs(task, name)
    return module


def _check_theirs(task: TrainerTask, name: str) -> None:
    """Raise where the folder holds such a module, and another one of that name was imported before.

    Raises:
        UserError: it names both.
    """
    top = name.partition(".")[0]
    here = PathFinder.find_spec(top, [task.folder or HERE])
    file = getattr(importlib.import_module(top), "__file__", None)
    if here is None or here.origin is None or file is None:
        return
    if Path(here.origin).resolve() != Path(file).resolve():
        raise UserError(f"{top!r} was imported from {file} before, and is not {here.origin}",
                        "give your module a name of its own", key=KEY)  # fmt: skip


def _told(task: TrainerTask, error: BaseException) -> BaseException:
    """Return what the user's code raised as an error with its place; memory that ran out keeps its name."""
    if isinstance(error, UserError | MemoryError) or "out of memory" in str(error):
        return error
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    folder = Path(task.folder or HERE).resolve()
    own = [frame for frame in frames if folder in Path(frame.filename).resolve().parents]
    where = "".join(f" ({frame.filename}:{frame.lineno})" for frame in (own or frames)[-1:])
    return without_length(error) or UserError(
        f"{task.factory} raised {first_line(error)}{where}",
        to_mend(error, "call it by itself with TrainingArguments, and mend what it raises"), key=KEY,
    )  # fmt: skip
