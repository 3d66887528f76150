"""Generated sentences about a few topics: learnt within some tens of steps, new ones for each seed."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

NUM_ROWS = 64  # chosen: eight batches of eight, so that a trial meets every row
NUM_TOPICS = 3
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL))
WORDS_PER_TOPIC = 4
NUM_FILLERS = 40
TOPIC_SHARE = 0.6  # chosen: no sentence without a hint, and yet no two alike
MIN_WORDS, MAX_WORDS = 4, 14
VOCABULARY_SIZE = len(SPECIAL) + NUM_FILLERS + NUM_TOPICS * WORDS_PER_TOPIC
MAX_POSITIONS = 32

Columns = dict[str, list[Any]]
"""A data set by columns, one entry per row."""


def topics(seed: int, num_rows: int = NUM_ROWS) -> NDArray[np.int64]:
    """Return the topic of each row, every topic about as often."""
    return np.random.default_rng([seed, 0]).permutation(np.arange(num_rows) % NUM_TOPICS)


def planted_rows(seed: int, count: int = 1) -> tuple[int, ...]:
    """Return rows that a fault is planted in, another choice for each seed."""
    chosen = np.random.default_rng([seed, 1]).choice(NUM_ROWS, size=count, replace=False)
    return tuple(sorted(int(row) for row in chosen))


def columns(seed: int, max_words: int = MAX_WORDS) -> Columns:
    """Return the columns of healthy rows: tokens, mask, and the topic as the label."""
    rng, topics_N = np.random.default_rng([seed, 2]), topics(seed)
    ids = [sentence(rng, int(topic), max_words) for topic in topics_N]
    return {"input_ids": ids, "attention_mask": ones_like(ids), "labels": topics_N.tolist()}


def ones_like(rows: list[list[int]]) -> list[list[int]]:
    """Return a mask that hides nothing."""
    return [[1] * len(row) for row in rows]


def sentence(rng: np.random.Generator, topic: int, max_words: int = MAX_WORDS) -> list[int]:
    """Return the tokens of one sentence: fillers, and words that only its topic uses."""
    length = int(rng.integers(MIN_WORDS, max_words + 1))
    fillers = len(SPECIAL) + rng.integers(NUM_FILLERS, size=length)
    first = len(SPECIAL) + NUM_FILLERS + topic * WORDS_PER_TOPIC
    named = first + rng.integers(WORDS_PER_TOPIC, size=length)
    is_named = rng.random(length) < TOPIC_SHARE
    is_named[0] = True
    return [CLS, *np.where(is_named, named, fillers).tolist(), SEP]


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer that the sentences could have come from."""
    words = [f"filler{i}" for i in range(NUM_FILLERS)]
    words += [f"topic{topic}word{i}" for topic in range(NUM_TOPICS) for i in range(WORDS_PER_TOPIC)]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate((*SPECIAL, *words))}, "[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=MAX_POSITIONS,
    )  # fmt: skip
