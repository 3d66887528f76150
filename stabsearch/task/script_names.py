"""What a script defines, under the name that it has when it is imported: ``train`` for ``train.py``.

Run as a program, its classes belong to a module ``__main__`` that ends with it. A bundle names classes by
their module, and a replay imports them from there.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

PROGRAM = "__main__"


def give_names(path: str) -> None:
    """Name the classes and functions of a script that is running, if importing it would not run it.

    Args:
        path: of the script; one of the calls that led here is its own.
    """
    module = Path(path).stem
    if not module.isidentifier() or not _can_be_imported(path):
        return
    for thing in _globals_of(path).values():
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__ == PROGRAM:
            thing.__module__ = module


def _globals_of(path: str) -> dict[str, Any]:
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_filename != path:
        frame = frame.f_back  # type: ignore[assignment]
    return dict(frame.f_globals) if frame is not None else {}


def _can_be_imported(path: str) -> bool:
    """Return whether a script asks for its name before it trains: ``if __name__ == "__main__"``."""
    tree = ast.parse(Path(path).read_bytes())
    asked = [node.test for node in tree.body if isinstance(node, ast.If)]
    return any(
        isinstance(name, ast.Name) and name.id == "__name__" for test in asked for name in ast.walk(test)
    )


def forget_registered(path: str) -> None:
    """Take back what an earlier run of a script registered with Transformers' auto classes.

    They would keep its classes for ever, and with them all that stands at the top of the script.

    Args:
        path: of the script.
    """
    names = {PROGRAM, Path(path).stem}
    for mapping in (CONFIG_MAPPING, *vars(modeling_auto).values()):
        extra: Any = getattr(mapping, "_extra_content", None)
        for key, value in list(extra.items()) if isinstance(extra, dict) else ():
            if {getattr(key, "__module__", ""), getattr(value, "__module__", "")} & names:
                del extra[key]
