"""Tiny models and rows of every task, healthy as they are, and ways to break them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainingArguments,
)

from stabsearch.forensics.finding import Finding
from stabsearch.forensics.preflight import check_trainer

VOCABULARY = 24
Row = dict[str, Any]
Look = Callable[[], list[Finding]]
"""A look at something: what was found."""
NO_FOLDER = str(Path("/tmp") / "never-made")
WIDTH = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def tokenizer() -> PreTrainedTokenizerFast:
    special = {"[PAD]": 0, "[UNK]": 1, "[EOS]": 2, "[MASK]": 3}
    words = special | {f"w{i}": i for i in range(len(special), VOCABULARY)}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", eos_token="[EOS]", mask_token="[MASK]"
    )


def tokens(row: int, length: int | None = None) -> list[int]:
    """Return the tokens of a row: every row differs, lengths are 4 to 8."""
    return [4 + (7 * row + 3 * place) % (VOCABULARY - 4) for place in range(length or 4 + row % 5)]


def rows(labels: Sequence[Any], **columns: Callable[[int], Any]) -> list[Row]:
    """Return one row per label; more columns are functions of the row's number."""
    made = []
    for i, label in enumerate(labels):
        ids = columns["input_ids"](i) if "input_ids" in columns else tokens(i)
        row = {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": label}
        made.append(row | {name: column(i) for name, column in columns.items() if name != "input_ids"})
    return made


def class_rows(num_rows: int = 12, num_classes: int = 3) -> list[Row]:
    return rows([i % num_classes for i in range(num_rows)])


def changed(made: list[Row], at: int, **values: Any) -> list[Row]:
    """Return the rows with some values of one row replaced."""
    return [row | values if i == at else row for i, row in enumerate(made)]


def bert(num_labels: int = 3, **config: Any) -> BertForSequenceClassification:
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "max_position_embeddings": 16, **WIDTH}
    return BertForSequenceClassification(BertConfig(**sizes | config, num_labels=num_labels))


def roberta(num_labels: int = 3) -> RobertaForSequenceClassification:
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=11, pad_token_id=1, num_labels=num_labels,
        type_vocab_size=1, **WIDTH,
    )  # fmt: skip
    return RobertaForSequenceClassification(config)


def token_bert() -> BertForTokenClassification:
    torch.manual_seed(0)
    return BertForTokenClassification(
        BertConfig(vocab_size=VOCABULARY, max_position_embeddings=16, num_labels=4, **WIDTH)
    )


def masked_bert() -> BertForMaskedLM:
    torch.manual_seed(0)
    return BertForMaskedLM(BertConfig(vocab_size=VOCABULARY, max_position_embeddings=16, **WIDTH))


GPT2 = {"vocab_size": VOCABULARY, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}


def gpt2(**config: Any) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(**GPT2, bos_token_id=2, eos_token_id=2, **config))


def gpt2_classifier(**config: Any) -> GPT2ForSequenceClassification:
    torch.manual_seed(0)
    return GPT2ForSequenceClassification(
        GPT2Config(**GPT2, num_labels=3, bos_token_id=2, eos_token_id=2, **config)
    )


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=16, num_key_value_heads=2, **WIDTH)
    )


def t5() -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    return T5ForConditionalGeneration(
        T5Config(vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
                 decoder_start_token_id=0)
    )  # fmt: skip


def trainer(
    made: Any, model: Any = None, collator: Any = None, kind: type[Trainer] = Trainer, **settings: Any
) -> Trainer:
    """Return a Trainer on some rows; batches of 4 on the CPU."""
    handed = {name: settings.pop(name) for name in HANDED if name in settings}
    arguments = {"per_device_train_batch_size": 4, "max_steps": 10, "report_to": "none", "use_cpu": True}
    return kind(
        model=model if model is not None else bert(),
        args=TrainingArguments(NO_FOLDER, **arguments | settings),
        train_dataset=made,
        data_collator=collator if collator is not None else DataCollatorWithPadding(tokenizer()),
        **handed,
    )


HANDED = ("optimizers", "compute_loss_func", "processing_class")


def look(made: Any, model: Any = None, collator: Any = None, **settings: Any) -> list[Finding]:
    """Return what the check says of a Trainer made of these parts; not what this machine lacks."""
    told = {name: settings.pop(name) for name in ("precisions", "texts", "probe") if name in settings}
    found = check_trainer(trainer(made, model, collator, **settings), **told)
    return [finding for finding in found if finding.rule != "STAB-E005"]  # bf16 without instructions for it


def token_rows(num_rows: int = 12) -> list[Row]:
    return [{**row, "labels": [t % 4 for t in row["input_ids"]]} for row in class_rows(num_rows)]


def token_collator(**settings: Any) -> DataCollatorForTokenClassification:
    return DataCollatorForTokenClassification(tokenizer(), **settings)


def text_rows(num_rows: int = 12) -> list[Row]:
    """Return rows of a language model that bring their own labels, padded to 8."""
    made = []
    for i in range(num_rows):
        ids = tokens(i)
        gap = 8 - len(ids)
        made.append(
            {"input_ids": ids + [0] * gap, "attention_mask": [1] * len(ids) + [0] * gap,
             "labels": ids + [-100] * gap}
        )  # fmt: skip
    return made


def plain_rows(num_rows: int = 12) -> list[Row]:
    return [{name: row[name] for name in ("input_ids", "attention_mask")} for row in class_rows(num_rows)]


def masking_collator() -> DataCollatorForLanguageModeling:
    return DataCollatorForLanguageModeling(tokenizer(), mlm_probability=0.3)


def causal_collator() -> DataCollatorForLanguageModeling:
    return DataCollatorForLanguageModeling(tokenizer(), mlm=False)


def stacked(made: list[Row]) -> dict[str, torch.Tensor]:
    """Collate rows of one length, every column."""
    return {name: torch.tensor([row[name] for row in made]) for name in made[0]}


def pair_rows(num_rows: int = 12) -> list[Row]:
    return [{**row, "labels": [*tokens(i + 5, 3), 2]} for i, row in enumerate(plain_rows(num_rows))]


def pair_collator(**settings: Any) -> DataCollatorForSeq2Seq:
    return DataCollatorForSeq2Seq(tokenizer(), **settings)


HEALTHY: dict[str, Callable[[], Trainer]] = {
    "classes": lambda: trainer(class_rows()),
    "classes, Roberta": lambda: trainer(class_rows(), roberta()),
    "classes, GPT-2": lambda: trainer(class_rows(), gpt2_classifier(pad_token_id=0)),
    "regression": lambda: trainer(rows([0.1 * i for i in range(12)]), bert(1)),
    "regression, three targets": lambda: trainer(
        rows([[0.1 * i, 1.0, -1.0] for i in range(12)]), bert(3, problem_type="regression")
    ),
    "multi-label": lambda: trainer(
        rows([[float(i % 2), 1.0, float(i % 3 == 0)] for i in range(12)]),
        bert(3, problem_type="multi_label_classification"),
    ),
    "tokens": lambda: trainer(token_rows(), token_bert(), token_collator()),
    "causal": lambda: trainer(plain_rows(), gpt2(), causal_collator()),
    "causal, own labels": lambda: trainer(text_rows(), gpt2(), stacked),
    "causal, Llama": lambda: trainer(plain_rows(), llama(), causal_collator()),
    "masked": lambda: trainer(plain_rows(), masked_bert(), masking_collator()),
    "sequence to sequence": lambda: trainer(pair_rows(), t5(), pair_collator()),
}
"""A Trainer per kind of task, with nothing wrong."""
