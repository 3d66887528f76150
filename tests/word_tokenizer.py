"""A tokenizer of whole words, made from the texts of a test."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast


def word_tokenizer(folder: Path, texts: list[str]) -> str:
    """Save a small tokenizer of these texts and return its folder."""
    core = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.train_from_iterator(
        texts, trainers.WordLevelTrainer(vocab_size=500, special_tokens=["[PAD]", "[UNK]"])
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    return str(folder)
