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
    """Return the rows of a split, or of parts of splits in the Hub's own words: ``train[:10%]+test``."""
    several = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    if not isinstance(loaded, dict) and data.split == str(loaded.split):
        return loaded
    return several[data.split] if data.split in several else _sliced(several, data)


def _sliced(splits: dict[str, Any], data: HubData) -> Any:
    import datasets

    lengths = {name: len(rows) for name, rows in splits.items()}
    try:
        parts = datasets.ReadInstruction.from_spec(data.split).to_absolute(lengths)
    except (ValueError, AssertionError) as error:
        is_one = list(splits) == ["train"]
        known = "it is one table, without splits" if is_one else f"splits: {', '.join(splits)}"
        reason = "" if "Unknown split" in str(error) else f": {str(error).splitlines()[0]}"
        raise UserError(
            f"no split {data.split!r} in the saved data set {data.path!r} ({known}){reason}",
            "leave out task.data.split" if is_one else "name one of them as task.data.split",
            key=("task", "data", "split"),
        ) from None
    return datasets.concatenate_datasets(
        [splits[part.splitname].select(range(part.from_, part.to)) for part in parts]
    )


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
