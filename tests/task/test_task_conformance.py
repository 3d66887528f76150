"""Every built-in task keeps what a trial relies on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from language_samples import BERT, text
from language_samples import task as language_task
from pydantic import TypeAdapter
from word_tokenizer import word_tokenizer

from stabsearch.config import QuickstartTask, Task
from stabsearch.task.masked_lm import DataCollatorForMaskedLanguageModeling
from stabsearch.task.registry import build_workload
from stabsearch.task.workload import RowWorkload
from stabsearch.testing.task_conformance import TaskConformance

NUM_ROWS = 64
CONFIG = {**BERT, "vocab_size": 40, "hidden_dropout_prob": 0.0}
SENTENCES = [text(row, 3 + row % 4) for row in range(NUM_ROWS)]
WORDS = [sentence.split() for sentence in SENTENCES]
HAS = np.array([[f"w{k}" in words for k in (0, 1, 4)] for words in WORDS])


def workload_of(folder: Path, kind: str, columns: dict[str, list[Any]], **changes: Any) -> RowWorkload:
    """Return the workload of a task on generated rows, with a tiny BERT."""
    pd.DataFrame(columns).to_parquet(folder / "rows.parquet")
    values = {
        "type": kind,
        "model": {"config": CONFIG},
        "tokenizer": word_tokenizer(folder / "tokenizer", SENTENCES),
        "data": {"train": str(folder / "rows.parquet")},
        **changes,
    }
    made = build_workload(TypeAdapter(Task).validate_python(values))
    assert isinstance(made, RowWorkload)
    return made


class TestQuickstart(TaskConformance):
    """Generated sentences and their topics."""

    def make_workload(self, folder: Path) -> RowWorkload:
        made = build_workload(QuickstartTask(num_rows=64, num_classes=3, hidden_size=16, num_hidden_layers=1))
        assert isinstance(made, RowWorkload)
        return made


class TestSequenceClassification(TaskConformance):
    """Whether the first word is in the first half of all."""

    def make_workload(self, folder: Path) -> RowWorkload:
        labels = [int(words[0] in {"w0", "w1", "w2"}) for words in WORDS]
        return workload_of(folder, "sequence-classification", {"text": SENTENCES, "label": labels})


class TestMultiLabel(TaskConformance):
    """Which of three words a sentence holds, and a label that no row has."""

    def make_workload(self, folder: Path) -> RowWorkload:
        labels = [[*map(int, has), 0] for has in HAS]
        return workload_of(folder, "multi-label", {"text": SENTENCES, "labels": labels})


class TestRegression(TaskConformance):
    """How many words a sentence has."""

    def make_workload(self, folder: Path) -> RowWorkload:
        numbers = [len(words) / 2 for words in WORDS]
        return workload_of(folder, "regression", {"text": SENTENCES, "label": numbers})


class TestRegressionOfSeveral(TaskConformance):
    """How many words a sentence has, and whether it holds a certain one."""

    def make_workload(self, folder: Path) -> RowWorkload:
        columns = {
            "text": SENTENCES,
            "length": [len(words) / 2 for words in WORDS],
            "has": HAS[:, 0].astype(float).tolist(),
        }
        return workload_of(folder, "regression", columns, label=["length", "has"])


class TestTokenClassification(TaskConformance):
    """The kind of each word, of which there are more of some; rows are cut."""

    def make_workload(self, folder: Path) -> RowWorkload:
        tags = [["BCA"[min(2, int(word[1:]) // 3)] for word in words] for words in WORDS]
        columns = {"tokens": WORDS, "ner_tags": tags}
        return workload_of(folder, "token-classification", columns, max_length=5)


class LanguageConformance(TaskConformance):
    """Tasks whose labels are tokens."""

    learning_rate = 3e-2


class TestCausalLM(LanguageConformance):
    """Whole texts."""

    def make_workload(self, folder: Path) -> RowWorkload:
        return built(language_task(folder, "causal-lm", {"text": SENTENCES}))


class TestCausalLMOfPrompts(LanguageConformance):
    """Answers alone are learned."""

    def make_workload(self, folder: Path) -> RowWorkload:
        columns = {"prompt": SENTENCES, "text": [f" {words[0]}" for words in WORDS]}
        return built(language_task(folder, "causal-lm", columns, prompt="prompt"))


class TestMaskedLM(LanguageConformance):
    """Labels are made by the collator: here it hides every token there is."""

    draws = True

    def make_workload(self, folder: Path) -> RowWorkload:
        return built(language_task(folder, "masked-lm", {"text": SENTENCES}))

    def all_labels(self, workload: RowWorkload) -> list[Any]:
        return [workload.rows[row]["input_ids"] for row in range(workload.num_rows)]

    def all_rows(self, workload: RowWorkload) -> dict[str, torch.Tensor]:
        hides_all = DataCollatorForMaskedLanguageModeling(workload.tokenizer, mlm_probability=1.0)
        return dict(hides_all([workload.rows[row] for row in range(workload.num_rows)]))


class TestSeq2Seq(LanguageConformance):
    """The first word is written again."""

    def make_workload(self, folder: Path) -> RowWorkload:
        columns = {"source": SENTENCES, "target": [words[0] for words in WORDS]}
        return built(language_task(folder, "seq2seq", columns))


def built(made: Any) -> RowWorkload:
    """Return the workload of a task."""
    workload = build_workload(made)
    assert isinstance(workload, RowWorkload)
    return workload
