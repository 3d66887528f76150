"""Rules about language models: a sample that breaks each, and one that does not."""

from __future__ import annotations

import torch
from preflight_samples import (
    VOCABULARY,
    WIDTH,
    Look,
    causal_collator,
    look,
    masked_bert,
    plain_rows,
    tokenizer,
    tokens,
)  # fmt: skip
from transformers import BertConfig, BertLMHeadModel, DataCollatorForLanguageModeling


def bert_lm(is_decoder: bool) -> BertLMHeadModel:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=VOCABULARY, max_position_embeddings=16, is_decoder=is_decoder, **WIDTH)
    return BertLMHeadModel(config)


def masking(probability: float) -> DataCollatorForLanguageModeling:
    return DataCollatorForLanguageModeling(tokenizer(), mlm_probability=probability)


SAMPLES: dict[str, tuple[Look, Look]] = {
    "STAB-D042": (
        lambda: look(
            [{"input_ids": tokens(i, 4)} for i in range(12)], masked_bert(), masking(0.05),
            per_device_train_batch_size=1,
        ),
        lambda: look([{"input_ids": tokens(i, 8)} for i in range(12)], masked_bert(), masking(0.3)),
    ),
    "STAB-M011": (
        lambda: look(plain_rows(), bert_lm(is_decoder=False), causal_collator()),
        lambda: look(plain_rows(), bert_lm(is_decoder=True), causal_collator()),
    ),
}  # fmt: skip
