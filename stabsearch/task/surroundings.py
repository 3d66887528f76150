"""What a process looks like to code of the user's: folder, modules, output; put back afterwards."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager, redirect_stdout
from pathlib import Path

import huggingface_hub.utils as hub
from transformers.utils import logging as transformers_logging

from stabsearch.errors import KeyPath, UserError
from stabsearch.task.global_state import global_state_kept

_folders: dict[str, str] = {}
"""Module that the user's code brought into this process -> folder that modules were looked for in."""


class Surroundings:
    """Makes a process look as the user's code expects it, for as long as that is at work.

    Entered twice, the inner time changes nothing: a trial enters it for all of its training, and what
    the code left behind when it made its Trainer is there as long.

    Args:
        folder: current folder, where relative paths start.
        modules: folder that modules are looked for in first.
        key: part of the sweep that names the folder.
    """

    def __init__(self, folder: str, modules: str, key: KeyPath) -> None:
        self._folder, self._modules, self._key = folder, modules, key
        self._is_entered = False

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Change the process, and put it back.

        Raises:
            UserError: this machine has no such folder.
        """
        if self._is_entered:
            yield
            return
        self._check_there()
        self._is_entered = True
        try:
            # stdout belongs to the answer of the program that all of this runs in
            with (
                global_state_kept(), chdir(self._folder), redirect_stdout(sys.stderr), _bars_hidden(),
                _own_modules(self._modules),
            ):  # fmt: skip
                sys.path.insert(0, self._modules)
                logging.disable(logging.WARNING)  # what it says of each trial again and again
                yield
        finally:
            self._is_entered = False

    def _check_there(self) -> None:
        for folder in (self._folder, self._modules):
            if not Path(folder).is_dir():
                raise UserError(f"no folder {folder} on this machine",
                                "your code has to be there on every machine that runs trials",
                                key=self._key)  # fmt: skip


@contextmanager
def _own_modules(folder: str) -> Iterator[None]:
    """Forget what an earlier sweep of this process imported from elsewhere: many scripts are a ``train``."""
    for name in [name for name, place in _folders.items() if place != folder]:
        sys.modules.pop(name, None)
        del _folders[name]
    before = set(sys.modules)
    try:
        yield
    finally:
        inside = Path(folder)
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and "site-packages" not in file and inside in Path(file).parents:
                _folders[name] = folder


@contextmanager
def _bars_hidden() -> Iterator[None]:
    """Show no progress bars of Transformers, of the Hub, and of ``datasets`` where that is at work."""
    with ExitStack() as again:
        if transformers_logging.is_progress_bar_enabled():
            transformers_logging.disable_progress_bar()
            again.callback(transformers_logging.enable_progress_bar)
        for library in (hub, sys.modules.get("datasets")):
            if library is not None and not library.are_progress_bars_disabled():
                library.disable_progress_bars()
                again.callback(library.enable_progress_bars)
        yield
