"""Fine-tune a text classifier on a CSV file: a script in the shape of the well-known examples.

It knows nothing of stabsearch. By itself:
    python train.py --train_file tickets.csv --output_dir out --do_train --do_eval --max_steps 100
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.utils.data import Dataset
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    HfArgumentParser,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)

logger = logging.getLogger(__name__)


@dataclass
class ModelArguments:
    """Which model is trained."""

    model_name_or_path: str | None = field(default=None, metadata={"help": "Default: a small BERT."})
    hidden_size: int = field(default=32, metadata={"help": "Width of the small BERT."})


@dataclass
class DataTrainingArguments:
    """What it is trained on."""

    train_file: str = field(metadata={"help": "A CSV file."})
    text_column: str = field(default="text", metadata={"help": "Its column of texts."})
    label_column: str = field(default="label", metadata={"help": "Its column of labels."})
    max_seq_length: int = field(default=64, metadata={"help": "Longer texts are cut."})
    num_eval_rows: int = field(default=40, metadata={"help": "Rows at the end that are held out."})


class Rows(Dataset):
    """Tokenised texts with their labels."""

    def __init__(self, encoded: list[list[int]], labels: list[int]) -> None:
        self.encoded, self.labels = encoded, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict:
        return {"input_ids": self.encoded[index], "labels": self.labels[index]}


def word_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer that knows the words of some texts."""
    words = sorted({word for text in texts for word in text.split()})
    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", *words])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")


def accuracy(seen: EvalPrediction) -> dict[str, float]:
    """Return the share of right answers."""
    return {"accuracy": float((np.argmax(seen.predictions, axis=1) == seen.label_ids).mean())}


def main() -> None:
    parser = HfArgumentParser((ModelArguments, DataTrainingArguments, TrainingArguments))
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        model_args, data_args, training_args = parser.parse_json_file(sys.argv[1])
    else:
        model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    logging.basicConfig(level=logging.INFO)
    logger.info("training parameters %s", training_args)
    set_seed(training_args.seed)

    table = pd.read_csv(data_args.train_file)
    texts = table[data_args.text_column].astype(str).tolist()
    names = sorted(table[data_args.label_column].astype(str).unique())
    labels = [names.index(str(label)) for label in table[data_args.label_column]]

    if model_args.model_name_or_path:
        tokenizer = AutoTokenizer.from_pretrained(model_args.model_name_or_path)
        model = AutoModelForSequenceClassification.from_pretrained(
            model_args.model_name_or_path, num_labels=len(names), dtype="float32"
        )
    else:
        tokenizer = word_tokenizer(texts)
        config = AutoConfig.for_model(
            "bert",
            vocab_size=len(tokenizer),
            hidden_size=model_args.hidden_size,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=2 * model_args.hidden_size,
            max_position_embeddings=data_args.max_seq_length,
            num_labels=len(names),
        )
        model = AutoModelForSequenceClassification.from_config(config)
    encoded = tokenizer(texts, truncation=True, max_length=data_args.max_seq_length)["input_ids"]
    num_train = len(texts) - data_args.num_eval_rows

    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=Rows(encoded[:num_train], labels[:num_train]),
        eval_dataset=Rows(encoded[num_train:], labels[num_train:]),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=accuracy,
    )
    if training_args.do_train:
        result = trainer.train()
        trainer.save_model()
        trainer.log_metrics("train", result.metrics)
        trainer.save_state()
    if training_args.do_eval:
        trainer.log_metrics("eval", trainer.evaluate())


if __name__ == "__main__":
    main()
