"""Tiny tokenizers and models of every family of language models, and tasks on a few texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from stabsearch.config import Task

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<mask>")
WORDS = tuple(f"w{i}" for i in range(15))
PAD, BOS, EOS, UNK, MASK = range(5)
ROLES = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
ALL_ROLES = ROLES | {"mask_token": "<mask>"}

GPT2 = {
    "model_type": "gpt2", "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2,
    "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1,
}  # fmt: skip
WIDTH = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
LLAMA = {"model_type": "llama", "max_position_embeddings": 32, **WIDTH, "num_key_value_heads": 2}
BERT = {"model_type": "bert", "max_position_embeddings": 32, **WIDTH}
T5 = {"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
BART = {
    "model_type": "bart", "d_model": 16, "max_position_embeddings": 32,
    "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16, "decoder_ffn_dim": 16,
}  # fmt: skip
CONFIGS = {"causal-lm": GPT2, "masked-lm": BERT, "seq2seq": T5}


def text(row: int, num_words: int | None = None) -> str:
    """Return a text of one to six words; each row has another, and some words are more common."""
    length = 1 + row % 6 if num_words is None else num_words
    return " ".join(f"w{(row * 7 + place * place) % len(WORDS)}" for place in range(length))


def tokenizer(folder: Path, *, template: str = "", chat: str = "", **roles: str) -> str:
    """Save a tokenizer of whole words and return its folder.

    Args:
        folder: where it goes.
        template: what is put around a text: ``<s> $A </s>``; empty: nothing.
        chat: a chat template.
        roles: special tokens it knows of; default: all but a mask.
    """
    core = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate((*SPECIAL, *WORDS))}, unk_token="<unk>")
    )
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if template:
        core.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[("<s>", BOS), ("</s>", EOS)]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=core, **(roles or ROLES))
    if chat:
        fast.chat_template = chat
    fast.save_pretrained(folder)
    return str(folder)


def task(folder: Path, kind: str, columns: dict[str, list[Any]], **changes: Any) -> Any:
    """Return a task of one kind on a table of these columns, with a tiny model.

    Args:
        folder: where table and tokenizer go.
        kind: ``causal-lm``, ``masked-lm`` or ``seq2seq``.
        columns: of the table.
        changes: keys of the task; ``config`` is a model's configuration, ``tokenizer`` a folder, or roles
            and template of one that is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_parquet(folder / "rows.parquet")
    wanted = changes.pop("tokenizer", ALL_ROLES)
    made = wanted if isinstance(wanted, str) else tokenizer(folder / "tokenizer", **wanted)
    config = changes.pop("config", CONFIGS[kind])
    values = {
        "type": kind,
        "model": {"config": config},
        "tokenizer": made,
        "data": {"train": str(folder / "rows.parquet")},
        "max_length": 16,
    }
    return TypeAdapter(Task).validate_python(values | changes)
