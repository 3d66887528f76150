"""A Trainer of one's own: its loss, its collator, its optimizer, made anew for every trial."""

from __future__ import annotations

from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

WORDS, CLASSES, ROWS, LENGTH = 64, 4, 512, 12


class FocalTrainer(Trainer):
    """Cross-entropy that looks at hard rows (Lin et al. 2017, focal loss)."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        """Return the mean focal loss of a batch."""
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        log_p = torch.log_softmax(outputs.logits.float(), dim=-1).gather(1, labels[:, None]).squeeze(1)
        loss = (-((1 - log_p.exp()) ** 2) * log_p).mean()
        return (loss, outputs) if return_outputs else loss


def rows() -> list[dict[str, list[int] | int]]:
    """Return rows whose first word decides their class."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, WORDS, (ROWS, LENGTH), generator=generator)
    return [{"tokens": row.tolist(), "topic": int(row[0]) % CLASSES} for row in tokens]


def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Return rows as a batch."""
    return {
        "input_ids": torch.tensor([row["tokens"] for row in batch]),
        "labels": torch.tensor([row["topic"] for row in batch]),
    }


def make_trainer(args: TrainingArguments) -> Trainer:
    """Return a Trainer on a fresh model; stabsearch has seeded every generator before."""
    args.remove_unused_columns = False  # the collator knows these columns
    model = BertForSequenceClassification(
        BertConfig(vocab_size=WORDS, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                   intermediate_size=64, max_position_embeddings=LENGTH, num_labels=CLASSES)
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=args.weight_decay)
    return FocalTrainer(
        model=model, args=args, train_dataset=rows(), data_collator=collate, optimizers=(optimizer, None)
    )
