"""Many cells on a few processes, each result kept as soon as it is there."""

from __future__ import annotations

import logging
import multiprocessing
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.fault_gallery.cell import Cell
from experiments.fault_gallery.results import append


def run_cells(
    cells: Sequence[Cell], path: Path, measure: Callable[[Cell], Any], mark: str, *, jobs: int
) -> int:
    """Return how many cells raised; what the others gave is in the file, with ``mark`` for its code."""
    print(f"{len(cells)} cells to measure -> {path}", flush=True)
    began, failed = time.monotonic(), 0
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), quiet) as pool:
        futures = {pool.submit(measure, cell): cell for cell in cells}
        for done, future in enumerate(as_completed(futures), 1):
            result = _result(futures[future], future)
            failed += result is None
            if result is not None:
                append(path, replace(result, fingerprint=mark))
            _tell(f"{done:5d}/{len(cells)} {time.monotonic() - began:6.0f} s", futures[future], result)
    return failed


def quiet() -> None:
    """Keep what faults make libraries say from the terminal."""
    import datasets
    import transformers

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()


def _result(cell: Cell, future: Future[Any]) -> Any:
    """Return a cell's result; None, with the traceback printed, when it raised."""
    try:
        return future.result()
    except Exception:  # noqa: BLE001  # one cell's fault must not cost the others their results
        print(f"FAILED {cell.key}\n{traceback.format_exc()}", flush=True)
        return None


def _tell(progress: str, cell: Cell, result: Any) -> None:
    said = ""
    if hasattr(result, "named"):
        said = f"{result.named}" + ("" if result.named == result.planted else f"  planted {result.planted}")
    print(f"{progress}  {cell.key:42s} {said}".rstrip(), flush=True)
