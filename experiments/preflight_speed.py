"""How long the preflight takes over all rows: ``python experiments/preflight_speed.py``.

Prints processor seconds on one core: ``check_trainer`` without the forward of a small batch, on rows of 8
to 31 tokens with masks and class labels, and the rules about the table that rows are made of.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import pandas as pd
import pyarrow as pa
import torch
import transformers
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from stabsearch.forensics.facts.table import table_facts
from stabsearch.forensics.preflight import check_trainer
from stabsearch.forensics.rules.table import TABLE
from stabsearch.task.rows import Ragged, TaskTable, TokenRows

VOCABULARY = 30_522
SIZES = (100_000, 1_000_000)
REPEATS = 5


def token_rows(num_rows: int) -> TokenRows:
    """Return rows of random tokens, made without a list per row."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(8, 32, num_rows)
    flat_T = rng.integers(5, VOCABULARY, int(lengths.sum())).astype(np.int32)
    tokens = Ragged(flat_T, np.concatenate([[0], np.cumsum(lengths)]))
    return TokenRows({"input_ids": tokens, "labels": rng.integers(0, 4, num_rows)})


def as_dataset(rows: TokenRows) -> Any:
    """Return the same rows as a ``datasets.Dataset`` in blocks of 1,000, as a cache file holds them."""
    import datasets

    table = rows.arrow()
    blocks = [table.slice(start, 1000) for start in range(0, table.num_rows, 1000)]
    return datasets.Dataset(datasets.table.InMemoryTable(pa.concat_tables(blocks)))


def check_seconds(dataset: Any) -> float:
    """Return how long a look at a Trainer on these rows takes."""
    model = BertForSequenceClassification(
        BertConfig(vocab_size=VOCABULARY, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                   intermediate_size=8, num_labels=4)
    )  # fmt: skip
    args = TrainingArguments("unused", use_cpu=True, report_to="none", max_steps=10)
    trainer = Trainer(model=model, args=args, train_dataset=dataset, data_collator=lambda rows: {})
    return fastest(lambda: check_trainer(trainer, probe=False))


def table_seconds(num_rows: int) -> float:
    """Return how long a look at a table takes, before anything is tokenised."""
    labels = np.random.default_rng(0).integers(0, 4, num_rows).astype(str)
    frame = pd.DataFrame({"text": [f"a short text, number {i}" for i in range(num_rows)], "label": labels})
    table = TaskTable(frame, {"text": "text"}, ("label",))
    return fastest(lambda: TABLE.findings(table_facts(table)))


def fastest(look: Callable[[], Any]) -> float:
    """Return the fastest of a few looks, in processor seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        look()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Print one line per size and kind of data set."""
    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, pyarrow {pa.__version__}, ",
        end="",
    )
    print(f"{platform.machine()}, one thread, fastest of {REPEATS}")
    for size in SIZES:
        rows = token_rows(size)
        kinds = {
            "tokens, as stabsearch keeps them": lambda rows=rows: check_seconds(rows),
            "tokens, datasets.Dataset": lambda rows=rows: check_seconds(as_dataset(rows)),
            "table of texts and labels": lambda size=size: table_seconds(size),
        }
        for name, measured in kinds.items():
            print(f"{size:>9,} rows, {name:<33} {measured():.3f} s")


if __name__ == "__main__":
    main()
