"""Rules about rows and labels: a sample that breaks each, and one that does not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch
from preflight_samples import (
    Look,
    bert,
    changed,
    class_rows,
    gpt2,
    look,
    rows,
    stacked,
    text_rows,
    token_bert,
    token_collator,
    token_rows,
    tokens,
)
from rule_samples import IDS, MULTI, causal, multi_hot
from torch.utils.data import IterableDataset

from stabsearch.forensics.facts.table import table_facts
from stabsearch.forensics.finding import Finding
from stabsearch.forensics.rules.table import TABLE
from stabsearch.task.rows import TaskTable


def table(texts: list[Any], labels: list[Any], **columns: list[Any]) -> list[Finding]:
    """Return what the rules say of a table with these columns."""
    frame = pd.DataFrame({"text": texts, "label": labels, **columns})
    return TABLE.findings(table_facts(TaskTable(frame, {"text": "text"}, ("label",))))


class Stream(IterableDataset[dict[str, Any]]):
    """Rows without a length."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(class_rows())


class Holed:
    """Rows of which one cannot be read."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {}[index] if index == 5 else class_rows()[index]


def with_ignored_class(index: int) -> Any:
    model = bert()
    model.loss_of_its_own = torch.nn.CrossEntropyLoss(ignore_index=index)
    return model


def cut_rows(num_cut: int) -> list[dict[str, Any]]:
    """Return rows of a language model of which some lost their answer at 8 tokens."""
    made = []
    for i in range(16):
        is_cut = i < num_cut
        ids = tokens(i, 8 if is_cut else 5)
        labels = [-100] * len(ids) if is_cut else [-100, -100, *ids[2:]]
        made.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
    return made


def labelled(made: list[dict[str, Any]], **settings: Any) -> list[Finding]:
    """Return what the check says of a causal language model on rows with labels."""
    return look(made, gpt2(), token_collator(), **settings)


PADDED_LABELS = [row | {"labels": list(row["input_ids"])} for row in text_rows()]


SAMPLES: dict[str, tuple[Look, Look]] = {
    "STAB-D001": (lambda: look([]), lambda: look(class_rows())),
    "STAB-D002": (lambda: look(Stream()), lambda: look(class_rows())),
    "STAB-D003": (lambda: look(Holed()), lambda: look(class_rows())),
    "STAB-D004": (lambda: look(class_rows(3)), lambda: look(class_rows(4))),
    "STAB-D005": (
        lambda: look(
            [{"text": "a", "labels": i % 2} for i in IDS],
            collator=lambda made: stacked([{"labels": row["labels"]} for row in made]),
            remove_unused_columns=False,
        ),
        lambda: look(class_rows()),
    ),
    "STAB-D006": (
        lambda: table(["a", "b"], [0, 1], **{"label.1": [1, 1]}),
        lambda: table(["a", "b"], [0, 1], **{"other.1": [1, 1]}),
    ),
    "STAB-D007": (lambda: look(changed(class_rows(), 5, labels=None)), lambda: look(class_rows())),
    "STAB-D008": (lambda: table(["a", None], [0, 1]), lambda: table(["a", "None"], [0, 1])),
    "STAB-D009": (lambda: table(["a", "  "], [0, 1]), lambda: table(["a", "b"], [0, 1])),
    "STAB-D010": (lambda: look(rows([1] * 12)), lambda: look(rows([1] * 11 + [0]))),
    "STAB-D011": (
        lambda: look(changed(class_rows(), 5, labels=-1)),
        lambda: look(changed(class_rows(), 5, labels=-100)),
    ),
    "STAB-D012": (lambda: look(changed(class_rows(), 5, labels=3)), lambda: look(class_rows(num_classes=2))),
    "STAB-D013": (lambda: look(rows([1 + i % 3 for i in IDS])), lambda: look(rows([1 + i % 2 for i in IDS]))),
    "STAB-D014": (lambda: table(["a", "b"], [0.5, 1.0]), lambda: table(["a", "b"], [0.0, 1.0])),
    "STAB-D015": (
        lambda: look(rows([0.5 * i if i != 5 else math.nan for i in IDS]), bert(1)),
        lambda: look(rows([0.5 * i for i in IDS]), bert(1)),
    ),
    "STAB-D016": (
        lambda: look(rows([0.5 * i if i != 5 else -99_999.0 for i in IDS]), bert(1)),
        lambda: look(rows([0.5 * i if i != 5 else -99.0 for i in IDS]), bert(1)),
    ),
    "STAB-D017": (
        lambda: look(rows([multi_hot(i) if i != 5 else [1.0, 5.0, 0.0] for i in IDS]), bert(**MULTI)),
        lambda: look(rows([multi_hot(i) if i != 5 else [1.0, 0.3, 0.0] for i in IDS]), bert(**MULTI)),
    ),
    "STAB-D018": (
        lambda: look(changed(token_rows(), 5, labels=[-100] * 4), token_bert(), token_collator()),
        lambda: look(changed(token_rows(), 5, labels=[-100] * 3 + [1]), token_bert(), token_collator()),
    ),
    "STAB-D019": (lambda: labelled(cut_rows(3)), lambda: labelled(cut_rows(0))),
    "STAB-D020": (
        lambda: look(changed(token_rows(), 5, labels=[1, 2]), token_bert(), token_collator()),
        lambda: look(token_rows(), token_bert(), token_collator()),
    ),
    "STAB-D021": (lambda: causal(PADDED_LABELS), lambda: causal(text_rows())),
    "STAB-D022": (
        lambda: look(token_rows(), token_bert(), token_collator(label_pad_token_id=0)),
        lambda: look(class_rows(), with_ignored_class(-100)),
    ),
    "STAB-D023": (lambda: look(class_rows(num_classes=2)), lambda: look(class_rows())),
    "STAB-D024": (
        lambda: look(rows([i % 3 for i in IDS], input_ids=lambda i: tokens(i if i != 5 else 0))),
        lambda: look(rows([i % 3 for i in IDS], input_ids=lambda i: tokens(i if i != 6 else 0))),
    ),
}
