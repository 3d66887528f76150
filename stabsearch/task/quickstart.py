"""Generated sentences on a small BERT: learnable, not trivial, no download."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

from stabsearch.task.labels import ClassLabels
from stabsearch.task.models import ModelFromConfig
from stabsearch.task.padding import TextPadding
from stabsearch.task.rows import TaskTable, token_rows, tokenise
from stabsearch.task.workload import RowWorkload

if TYPE_CHECKING:
    from numpy.random import Generator

    from stabsearch.config import QuickstartTask

SPECIAL = ("[PAD]", "[UNK]")
NUM_FILLERS = 120  # chosen: most words of a sentence say nothing, as in real text
WORDS_PER_TOPIC = 12
TOPIC_SHARE = 0.3  # chosen: a sentence names its topic three or four times
MAX_WORDS = 20
DATA_SEED = 20_201  # chosen: one fixed data set, so that sweeps can be compared


def build(task: QuickstartTask, table: TaskTable | None = None) -> RowWorkload:
    """Return the workload: sentences about one of several topics, some wrongly labelled.

    Args:
        task: the part ``task`` of the sweep.
        table: None: its rows are made, not read.
    """
    texts, labels = generate(task)
    tokenizer = word_tokenizer(task.num_classes)
    tokens = tokenise(tokenizer, texts, None, MAX_WORDS)
    config = {
        "model_type": "bert",
        "vocab_size": len(tokenizer),
        "hidden_size": task.hidden_size,
        "num_hidden_layers": task.num_hidden_layers,
        "num_attention_heads": _num_heads(task.hidden_size),
        "intermediate_size": 4 * task.hidden_size,
        "max_position_embeddings": MAX_WORDS,
    }
    return RowWorkload(
        rows=token_rows(tokens, labels.ids_N),
        chance_loss=labels.chance_loss,
        tokenizer=tokenizer,
        collator=TextPadding(tokenizer),
        make_model=ModelFromConfig(config, AutoModelForSequenceClassification, num_labels=labels.num_classes),
    )


def _num_heads(hidden_size: int) -> int:
    """Return the most heads of width 32 or more that the width can be split into evenly."""
    return max(n for n in range(1, max(1, hidden_size // 32) + 1) if hidden_size % n == 0)


def generate(task: QuickstartTask) -> tuple[list[str], ClassLabels]:
    """Return sentences and their topics; the same task gives the same rows on every machine."""
    rng = np.random.default_rng(DATA_SEED)
    topics_N = rng.integers(task.num_classes, size=task.num_rows)
    texts = [_sentence(rng, int(topic)) for topic in topics_N]
    wrong_N = rng.random(task.num_rows) < task.label_noise
    labels_N = np.where(wrong_N, rng.integers(task.num_classes, size=task.num_rows), topics_N)
    return texts, ClassLabels(labels_N.astype(np.int64), tuple(f"topic{c}" for c in range(task.num_classes)))


def _sentence(rng: Generator, topic: int) -> str:
    length = int(rng.integers(8, MAX_WORDS + 1))
    named = rng.random(length) < TOPIC_SHARE
    fillers = rng.integers(NUM_FILLERS, size=length)
    words = rng.integers(WORDS_PER_TOPIC, size=length)
    return " ".join(
        f"topic{topic}word{word}" if is_named else f"filler{filler}"
        for is_named, filler, word in zip(named, fillers, words, strict=True)
    )


def word_tokenizer(num_classes: int) -> PreTrainedTokenizerFast:
    """Return the tokenizer of the generated sentences: a token per word."""
    words = [f"filler{i}" for i in range(NUM_FILLERS)]
    words += [f"topic{c}word{w}" for c in range(num_classes) for w in range(WORDS_PER_TOPIC)]
    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *words))}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")
