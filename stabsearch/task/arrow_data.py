"""Rows that are Arrow already: one file, or a folder that ``datasets`` saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from stabsearch.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from stabsearch.config import HubData

ONE = "state.json"
SEVERAL = "dataset_dict.json"
"""What ``save_to_disk`` writes into the folder of a data set, and of one with splits."""


def is_saved(path: str) -> bool:
    """Return whether a folder is one that ``save_to_disk`` of ``datasets`` wrote."""
    return any((Path(path) / name).is_file() for name in (ONE, SEVERAL))


def read_saved(data: HubData) -> pd.DataFrame:
    """Return the rows of a folder that ``save_to_disk`` wrote; of one with splits, those of the split.

    Raises:
        UserError: a file of it is missing or broken, or it has no such split.
    """
    import datasets

    try:
        loaded: Any = datasets.load_from_disk(data.path)
    except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's errors are ValueErrors, too
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        seen = f"cannot load the saved data set {data.path!r}: {reason}"
        raise UserError(seen, "save it again with save_to_disk", key=("task", "data", "path")) from None
    frame: pd.DataFrame = _split_of(loaded, data).to_pandas()
    return frame


def _split_of(loaded: Any, data: HubData) -> Any:
    if isinstance(loaded, dict):
        if data.split in loaded:
            return loaded[data.split]
        seen, hint = f"splits: {', '.join(loaded)}", "name one of them as task.data.split"
    elif data.split in {"train", str(loaded.split)}:
        return loaded
    else:
        seen, hint = "it is one table, without splits", "leave out task.data.split"
    raise UserError(f"no split {data.split!r} in the saved data set {data.path!r} ({seen})", hint,
                    key=("task", "data", "split"))  # fmt: skip


def read_arrow(path: Path) -> pd.DataFrame:
    """Return the rows of an Arrow file; a stream, as ``datasets`` writes it, or a file with an index.

    Raises:
        ValueError: it is neither.
    """
    with pa.memory_map(str(path)) as source:
        try:
            table = pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            table = pa.ipc.open_stream(source).read_all()
        frame: pd.DataFrame = table.to_pandas()
    return frame
