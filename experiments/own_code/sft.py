"""TRL's SFTTrainer: answers to prompts are learned, and the prompts are not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainingArguments
from trl import SFTConfig, SFTTrainer

TICKETS = Path(__file__).with_name("tickets.csv")
LENGTH = 32


def word_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer that knows the words of some texts."""
    words = sorted({word for text in texts for word in text.split()})
    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[END]", *words])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", eos_token="[END]"
    )


def make_trainer(args: TrainingArguments) -> SFTTrainer:
    """Return a Trainer on a fresh model; stabsearch has seeded every generator before."""
    table = pd.read_csv(TICKETS)
    tokenizer = word_tokenizer([*table["text"], *table["label"]])
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                    intermediate_size=64, max_position_embeddings=LENGTH)
    )  # fmt: skip
    rows = Dataset.from_dict({"prompt": list(table["text"] + " "), "completion": list(table["label"])})
    config = SFTConfig(**{**args.to_dict(), "max_length": LENGTH})
    return SFTTrainer(model=model, args=config, train_dataset=rows, processing_class=tokenizer)
