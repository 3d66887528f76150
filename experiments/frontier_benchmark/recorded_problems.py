"""The fine-tunes that were recorded: two small models on two real data sets, and their plans."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stabsearch.records import Precision, Stage, TrialPlan

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from stabsearch.config import SequenceClassificationTask

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
WARMUPS = (0, 16)  # optimizer steps; chosen: a third of the horizon, so that twice as many follow it
CLIPS = (0.0, 1.0)
LOG_RATES = tuple(np.linspace(-3.2, -0.6, 14).round(3).tolist())
"""log10 of the learning rate; chosen in a pilot: the boundary lies in the middle of the range."""
SEEDS = tuple(range(5))
HORIZON = 48  # optimizer steps; chosen: three times the warmup, and both models learn something by then
TRAINING = {
    "per_device_train_batch_size": 8,
    # fused AdamW hides skipped fp16 updates from Accelerate, and the warmup then moves on during them
    "optim": "adamw_torch",
}
MAX_STEPS = 300  # of the full run; trials are its first steps

MAX_LENGTH = 14  # tokens; chosen: covers the median text of both data sets
MIN_WORD_COUNT = 2  # chosen: a word seen once teaches nothing about another row
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
NUM_BANKING_INTENTS = 6  # chosen: in a pilot, the ten domains were hardly learned within the horizon

_WIDTH = 64
MODELS: dict[str, dict[str, Any]] = {
    # initializer_range: nearer to 1 / sqrt(width) than the 0.02 meant for width 768
    "bert": {
        "model_type": "bert", "hidden_size": _WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 4 * _WIDTH, "max_position_embeddings": 32, "initializer_range": 0.06,
    },
    "gpt2": {
        "model_type": "gpt2", "n_embd": _WIDTH, "n_layer": 2, "n_head": 4,
        "n_positions": 32, "initializer_range": 0.06,
    },
}  # fmt: skip
"""Two families with random weights: layer norms behind the blocks (BERT) and before them (GPT-2)."""


def clinc_banking(folder: Path) -> pd.DataFrame:
    """Return CLINC150's first intents, by name, of the banking domain: columns text, label."""
    rows = pd.read_csv(
        folder / "clinc150_small_train.tsv",
        sep="\t",
        quoting=csv.QUOTE_NONE,
        dtype=str,
        keep_default_na=False,
    )
    banking = rows[rows["domain"] == "banking"].rename(columns={"intent": "label"})
    kept = sorted(banking["label"].unique())[:NUM_BANKING_INTENTS]
    return banking.loc[banking["label"].isin(kept), ["text", "label"]]


def snips(folder: Path) -> pd.DataFrame:
    """Return the SNIPS requests and their seven intents: columns text, label."""
    rows = pd.read_json(folder / "snips_train.jsonl", lines=True)
    return pd.DataFrame({"text": rows["tokens"].map(" ".join), "label": rows["intent"]})


DATA: dict[str, Callable[[Path], pd.DataFrame]] = {"clinc_banking": clinc_banking, "snips": snips}


def prepare(data: str, folder: Path, scratch: Path) -> None:
    """Write the rows and a word tokenizer made from them below ``scratch``."""
    place = scratch / data
    place.mkdir(parents=True, exist_ok=True)
    rows = DATA[data](folder)
    rows.to_json(place / "train.jsonl", orient="records", lines=True)
    word_tokenizer(rows["text"].tolist()).save_pretrained(place / "tokenizer")


def word_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer of the lower-cased words that occur more than once."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    counts = Counter(word for text in texts for word in text.lower().split())
    words = sorted(word for word, count in counts.items() if count >= MIN_WORD_COUNT)
    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *words))}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = [(mark, vocabulary[mark]) for mark in ("[CLS]", "[SEP]")]
    core.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


def task(model: str, data: str, scratch: Path) -> SequenceClassificationTask:
    """Return what a sweep's ``task`` part would say, on the files that ``prepare`` wrote."""
    from transformers import AutoTokenizer

    from stabsearch.config import SequenceClassificationTask

    place = scratch / data
    tokenizer = AutoTokenizer.from_pretrained(place / "tokenizer")
    fields: Mapping[str, Any] = {
        "type": "sequence-classification",
        "model": {"config": {**MODELS[model], **_tokens(tokenizer)}},
        "tokenizer": str(place / "tokenizer"),
        "data": {"train": str(place / "train.jsonl")},
        "max_length": MAX_LENGTH,
    }
    return SequenceClassificationTask.model_validate(fields)


def _tokens(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }


def plans() -> list[TrialPlan]:
    """Return every trial of one problem, seed by seed, so that an early end leaves whole grids."""
    cells = itertools.product(SEEDS, PRECISIONS, WARMUPS, CLIPS, LOG_RATES)
    return [
        TrialPlan(number, Stage.SEARCH, 10**x, warmup, clip, precision, seed, seed, HORIZON)
        for number, (seed, precision, warmup, clip, x) in enumerate(cells)
    ]
