"""A bundle replayed in a process that has never trained it."""

from __future__ import annotations

import atexit
import multiprocessing
from functools import cache
from multiprocessing.pool import Pool
from pathlib import Path


def verdict(bundle: Path) -> str:
    """Return ``bit-exact``, ``reproduced``, ``not reproduced``, or why it could not be replayed."""
    return _other_process().apply(_replay, (bundle,))


@cache
def _other_process() -> Pool:
    # one per measuring process, kept: most of a replay's time is importing torch and Transformers.
    # A Pool, because its workers end with the process that made it
    pool = multiprocessing.get_context("spawn").Pool(1)
    atexit.register(pool.terminate)
    return pool


def _replay(bundle: Path) -> str:
    from stabsearch.capture.bundle import read_bundle
    from stabsearch.errors import UserError
    from stabsearch.forensics.replay import Options, replay

    try:
        return replay(read_bundle(bundle), Options(trust_code=True)).verdict.value
    except UserError as error:
        return f"refused: {error.message}"
