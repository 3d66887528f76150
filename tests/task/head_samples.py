"""Tasks with a head on a few short rows, with a tiny BERT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter
from word_tokenizer import word_tokenizer

from stabsearch.config import Task

TEXTS = ["good film", "bad film", "a good plot", "bad"]
CONFIG = {
    "model_type": "bert", "vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 16,
}  # fmt: skip
JSON = ".jsonl"
CSV = ".csv"


def head_task(folder: Path, kind: str, columns: dict[str, list[Any]], **changes: Any) -> Any:
    """Return a task on a table of these columns.

    Args:
        folder: where table and tokenizer go.
        kind: of the task.
        columns: of the table.
        changes: keys of the task; ``ending`` is that of the table's file.
    """
    path = folder / f"rows{changes.pop('ending', '.parquet')}"
    frame = pd.DataFrame(columns)
    if path.suffix == JSON:
        frame.to_json(path, orient="records", lines=True)
    elif path.suffix == CSV:
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    values = {
        "type": kind,
        "model": {"config": CONFIG},
        "tokenizer": changes.pop("tokenizer", None) or word_tokenizer(folder / "tokenizer", TEXTS),
        "data": {"train": str(path)},
    }
    return TypeAdapter(Task).validate_python(values | changes)
