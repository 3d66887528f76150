"""What a whole process shares, and code of the user's may change: kept as it was."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def global_state_kept() -> Iterator[None]:
    """Put back afterwards: arguments, variables, module path, ``__main__``, logging, torch's defaults.

    What the code registers with ``atexit``, starts as a thread or patches in a library stays.
    """
    with ExitStack() as kept:
        for keep in (_program_kept, _logging_kept, _torch_kept, warnings.catch_warnings):
            kept.enter_context(keep())
        yield


@contextmanager
def _program_kept() -> Iterator[None]:
    argv, path, variables = list(sys.argv), list(sys.path), dict(os.environ)
    main = sys.modules.get("__main__")
    try:
        yield
    finally:
        sys.argv[:], sys.path[:] = argv, path
        for name in os.environ.keys() - variables.keys():
            del os.environ[name]
        os.environ.update(variables)
        if main is not None:
            sys.modules["__main__"] = main


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Put back level and handlers of every logger there is, and how the handlers write."""
    known = [
        logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)
    ]
    before = [
        (logger, logger.level, list(logger.handlers), logger.propagate, logger.disabled)
        for logger in (logging.root, *known)
    ]
    formats = [(handler, handler.formatter) for _, _, handlers, _, _ in before for handler in handlers]
    disabled_up_to = logging.root.manager.disable
    try:
        yield
    finally:
        logging.disable(disabled_up_to)
        for logger, level, handlers, propagates, is_disabled in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers
            logger.propagate, logger.disabled = propagates, is_disabled
        for handler, formatter in formats:
            handler.setFormatter(formatter)


@contextmanager
def _torch_kept() -> Iterator[None]:
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    is_deterministic = torch.are_deterministic_algorithms_enabled()
    warns_only = torch.is_deterministic_algorithms_warn_only_enabled()
    are_gradients_on = torch.is_grad_enabled()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(is_deterministic, warn_only=warns_only)
        torch.set_grad_enabled(are_gradients_on)
