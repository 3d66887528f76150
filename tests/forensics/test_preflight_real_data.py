"""Real data sets of four kinds give no false alarm, where they lie beside the checkout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    DataCollatorForLanguageModeling,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainingArguments,
)
from word_tokenizer import word_tokenizer

from stabsearch.forensics.preflight import check_trainer

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not SHARED.exists(), reason="the real data sets do not lie beside this checkout"
)
SIZES = {"vocab_size": 500, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
BERT = {**SIZES, "intermediate_size": 16, "max_position_embeddings": 64}


def tsv(name: str) -> pd.DataFrame:
    return pd.read_csv(SHARED / name, sep="\t", quoting=3)


def jsonl(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SHARED / name).read_text(encoding="utf-8").splitlines()]


def made(folder: Path, texts: list[str]) -> Any:
    """Return a tokenizer of these texts that pads."""
    tokenizer = AutoTokenizer.from_pretrained(word_tokenizer(folder / "words", texts))
    tokenizer.add_special_tokens({"mask_token": "[UNK]"})
    return tokenizer


def rows_of(tokenizer: Any, texts: list[str], labels: Any = None) -> list[dict[str, Any]]:
    ids = tokenizer(texts, truncation=True, max_length=64)["input_ids"]
    rows = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in ids]
    return rows if labels is None else [row | {"labels": y} for row, y in zip(rows, labels, strict=True)]


def intents(folder: Path) -> tuple[Any, Any, Any]:
    frame = tsv("clinc150_small_train.tsv")
    codes, names = pd.factorize(frame["intent"])
    tokenizer = made(folder, list(frame["text"]))
    model = BertForSequenceClassification(BertConfig(**BERT, num_labels=len(names)))
    return rows_of(tokenizer, list(frame["text"]), codes.tolist()), model, DataCollatorWithPadding(tokenizer)


def emotions(folder: Path) -> tuple[Any, Any, Any]:
    frame = tsv("emobank.tsv").dropna(subset=["text"])
    tokenizer = made(folder, list(frame["text"]))
    model = BertForSequenceClassification(BertConfig(**BERT, num_labels=1))
    return (
        rows_of(tokenizer, list(frame["text"]), frame["V"].tolist()),
        model,
        DataCollatorWithPadding(tokenizer),
    )


def tags(folder: Path) -> tuple[Any, Any, Any]:
    sentences = jsonl("ewt_upos_dev.jsonl")
    names = sorted({tag for row in sentences for tag in row["tags"]})
    tokenizer = made(folder, [" ".join(row["tokens"]) for row in sentences])
    rows = []
    for row in sentences:
        ids = tokenizer.convert_tokens_to_ids(row["tokens"])[:64]
        labels = [names.index(tag) for tag in row["tags"]][:64]
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
    model = BertForTokenClassification(BertConfig(**BERT, num_labels=len(names)))
    return rows, model, DataCollatorForTokenClassification(tokenizer)


def language(folder: Path) -> tuple[Any, Any, Any]:
    texts = [" ".join(row["tokens"]) for row in jsonl("snips_validate.jsonl")]
    tokenizer = made(folder, texts)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=500, n_positions=64, n_embd=16, n_layer=1, n_head=2))
    return rows_of(tokenizer, texts), model, DataCollatorForLanguageModeling(tokenizer, mlm=False)


def masked(folder: Path) -> tuple[Any, Any, Any]:
    rows, _, collator = language(folder)
    return rows, BertForMaskedLM(BertConfig(**BERT)), DataCollatorForLanguageModeling(collator.tokenizer)


@pytest.mark.parametrize("kind", [intents, emotions, tags, language, masked])
def test_real_data_is_not_at_fault(kind: Callable[[Path], tuple[Any, Any, Any]], tmp_path: Path) -> None:
    """150 intents, ratings, parts of speech, plain text: no error on any of them, in any precision."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows, model, collator = kind(tmp_path)
    args = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", max_steps=50)
    trainer = Trainer(model=model, args=args, train_dataset=rows, data_collator=collator)
    found = check_trainer(trainer, ("fp32", "bf16"))
    assert [finding for finding in found if finding.is_error] == []
