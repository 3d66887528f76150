"""Tokenizers for texts that come as words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers import pre_tokenizers

from stabsearch.errors import UserError
from stabsearch.task.models import load_tokenizer
from stabsearch.task.special_tokens import tokenizer_key

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stabsearch.config import TextTask


def load_word_tokenizer(task: TextTask) -> PreTrainedTokenizerBase:
    """Return the task's tokenizer, fit for lists of words.

    Byte-level tokenizers (RoBERTa, GPT-2) know most words with the space before them only; a list of words
    has no spaces, so that each word is given one.

    Args:
        task: names it, or a model that has one.

    Raises:
        UserError: there is none, or it cannot tell which word a token belongs to.
    """
    tokenizer = load_tokenizer(task)
    if not tokenizer.is_fast:
        raise UserError(f"the tokenizer {type(tokenizer).__name__} cannot tell which word a token is from",
                        "name a fast tokenizer (one with a tokenizer.json) as task.tokenizer",
                        key=tokenizer_key(task))  # fmt: skip
    backend = tokenizer.backend_tokenizer
    if isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel):
        backend.pre_tokenizer.add_prefix_space = True
    return tokenizer
