"""Rules about batches and losses: a sample that breaks each, and one that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from preflight_samples import Look, bert, class_rows, look, rows, tokens
from rule_samples import IDS, MULTI, TEN, altered, dtype_collator, multi_hot
from transformers import BertModel, default_data_collator


def one_hot(row: int, kind: Callable[[Any], Any] = float) -> list[Any]:
    return [kind(row % 3 == i) for i in range(3)]


SAMPLES: dict[str, tuple[Look, Look]] = {
    "STAB-D050": (
        lambda: look(class_rows(), collator=default_data_collator),
        lambda: look(rows(TEN, input_ids=lambda i: tokens(i, 5)), collator=default_data_collator),
    ),
    "STAB-D051": (
        lambda: look(
            class_rows(), collator=altered(lambda batch: batch | {"labels": batch["labels"].tolist()})
        ),
        lambda: look(class_rows(), collator=altered(dict)),
    ),
    "STAB-D052": (
        lambda: look(class_rows(), collator=altered(lambda batch: batch | {"labels": batch["labels"][:-1]})),
        lambda: look(class_rows(), collator=altered(dict)),
    ),
    "STAB-D053": (
        lambda: look([{k: v for k, v in row.items() if k != "labels"} for row in class_rows()]),
        lambda: look(class_rows()),
    ),
    "STAB-L001": (
        lambda: look(class_rows(), bert(1)),
        lambda: look(class_rows(), bert(1, problem_type="regression")),
    ),
    "STAB-L002": (
        lambda: look(rows([one_hot(i) for i in IDS])),
        lambda: look(rows([one_hot(i) for i in IDS]), bert(**MULTI)),
    ),
    "STAB-L003": (
        lambda: look(rows([one_hot(i, int) for i in IDS])),
        lambda: look(rows([[i % 3] for i in IDS])),
    ),
    "STAB-L004": (
        lambda: look(rows([multi_hot(i, int) for i in IDS]), bert(**MULTI)),
        lambda: look(rows([multi_hot(i) for i in IDS]), bert(**MULTI)),
    ),
    "STAB-L005": (
        lambda: look(rows([multi_hot(i) for i in IDS]), bert(4, **MULTI)),
        lambda: look(rows([multi_hot(i) for i in IDS]), bert(3, **MULTI)),
    ),
    "STAB-L006": (
        lambda: look(rows([float(i % 3) for i in IDS])),
        lambda: look(rows([float(i % 3) for i in IDS]), bert(1)),
    ),
    "STAB-L007": (
        lambda: look(class_rows(), collator=dtype_collator(torch.int32)),
        lambda: look(class_rows(), collator=dtype_collator(torch.int64)),
    ),
    "STAB-L008": (
        lambda: look(rows([0.1 * i for i in IDS]), bert(3, problem_type="regression")),
        lambda: look(rows([[0.1 * i] for i in IDS]), bert(1)),
    ),
    "STAB-L009": (
        lambda: look(rows([0.1 * i for i in IDS]), bert(1), label_smoothing_factor=0.1),
        lambda: look(class_rows(), label_smoothing_factor=0.1),
    ),
    "STAB-L010": (lambda: look(rows(["good", "bad"] * 6)), lambda: look(class_rows())),
    "STAB-L011": (
        lambda: look(
            class_rows(), collator=altered(lambda batch: batch | {"position_ids": batch["input_ids"] + 99})
        ),
        lambda: look(class_rows(), collator=altered(dict)),
    ),
    "STAB-L012": (
        lambda: look(class_rows(), BertModel(bert().config), remove_unused_columns=True),
        lambda: look(class_rows()),
    ),
    "STAB-L013": (
        lambda: look(
            class_rows(),
            bert(),
            collator=altered(lambda batch: batch | {"labels": batch["labels"] * 0 - 100}),
        ),
        lambda: look(class_rows(), bert(), collator=altered(dict)),
    ),
}
