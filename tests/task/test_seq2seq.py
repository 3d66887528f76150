"""Sequence to sequence: what is read, what is written, and where the decoder starts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from language_samples import ALL_ROLES, BART, BOS, EOS, PAD, ROLES, T5, task

from stabsearch.errors import UserError
from stabsearch.task.registry import build_workload, read_table

PAIRS = {"source": ["w1 w2 w3", "w4"], "target": ["w5", "w6 w7"]}
MARKED = {"template": "<s> $A </s>", **ALL_ROLES}


def rows_of(made: Any) -> list[tuple[list[int], list[int]]]:
    """Return tokens and labels of every row of a task's workload."""
    rows = build_workload(made).rows
    return [(rows[i]["input_ids"], rows[i]["labels"]) for i in range(len(rows))]


@pytest.mark.parametrize(("roles", "start"), [(ALL_ROLES, []), (MARKED, [BOS])], ids=["bare", "marked"])
def test_every_target_ends(tmp_path: Path, roles: dict[str, str], start: list[int]) -> None:
    """With the end that its tokenizer writes, or with one that is added: without it nothing ever stops."""
    first, second = rows_of(task(tmp_path, "seq2seq", PAIRS, tokenizer=roles))
    assert first[1] == [*start, 10, EOS]
    assert second[1] == [*start, 11, 12, EOS]


def test_a_prefix_stands_in_front_of_what_is_read_alone(tmp_path: Path) -> None:
    """T5 is told by it what to do."""
    first, second = rows_of(task(tmp_path, "seq2seq", PAIRS, prefix="w9 "))
    assert first == ([14, 6, 7, 8], [10, EOS])
    assert second[0] == [14, 9]


def test_source_and_target_are_cut_at_lengths_of_their_own(tmp_path: Path) -> None:
    """A target that was cut has no end: it would be learned in the middle of a text."""
    made = task(
        tmp_path,
        "seq2seq",
        {"source": ["w1 w2 w3"], "target": ["w4 w5 w6"]},
        max_length=2,
        max_target_length=3,
    )
    assert rows_of(made) == [([6, 7], [9, 10, 11])]


def test_labels_are_padded_by_what_the_loss_leaves_out(tmp_path: Path) -> None:
    """And no model has put its decoder's inputs into a batch that all trials share."""
    workload = build_workload(task(tmp_path, "seq2seq", PAIRS))
    batch = workload.collator([workload.rows[0], workload.rows[1]])
    assert batch["labels"].tolist() == [[10, EOS, -100], [11, 12, EOS]]
    assert batch["input_ids"].tolist() == [[6, 7, 8], [9, PAD, PAD]]
    assert set(batch) == {"input_ids", "attention_mask", "labels"}


@pytest.mark.parametrize(
    ("config", "start"),
    [
        (T5, PAD),
        (BART, EOS),
        ({**T5, "decoder_start_token_id": BOS}, BOS),
        ({**BART, "model_type": "marian"}, PAD),
    ],
    ids=["T5", "BART", "as the user says", "Marian"],
)
def test_the_decoder_starts_as_its_family_does(tmp_path: Path, config: dict[str, Any], start: int) -> None:
    """By the tokenizer's id of the same part: a class's default number belongs to another tokenizer."""
    model = build_workload(task(tmp_path, "seq2seq", PAIRS, config=config)).model(0)
    labels = torch.tensor([[10, EOS, -100]])
    assert model.config.decoder_start_token_id == start
    assert model.prepare_decoder_input_ids_from_labels(labels=labels).tolist() == [[start, 10, EOS]]


@pytest.mark.parametrize("config", [T5, BART, {**BART, "model_type": "marian"}], ids=["T5", "BART", "Marian"])
def test_padding_that_is_the_end_is_the_decoders_padding(tmp_path: Path, config: dict[str, Any]) -> None:
    """Decoders are fed something for labels that do not count; a class's default may be no token at all."""
    roles = {**ROLES, "pad_token": "</s>"}
    model = build_workload(task(tmp_path, "seq2seq", PAIRS, config=config, tokenizer=roles)).model(0)
    assert model.config.pad_token_id == EOS
    fed = model.prepare_decoder_input_ids_from_labels(labels=torch.tensor([[10, -100, -100]]))
    assert fed[0, 1:].tolist() == [10, EOS]


def test_chance_is_guessing_by_frequency_over_the_targets(tmp_path: Path) -> None:
    """Ends count, padding does not."""
    workload = build_workload(task(tmp_path, "seq2seq", {"source": ["w1", "w2"], "target": ["w5", "w5 w6"]}))
    assert workload.chance_loss == pytest.approx(-sum(p * math.log(p) for p in (0.4, 0.4, 0.2)))


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"source": "question"}, "source", "no column 'question'"),
        ({"target": "answer"}, "target", "no column 'answer'"),
        ({"tokenizer": {"eos_token": "</s>"}}, "tokenizer", "has no padding token"),
        ({"tokenizer": {"pad_token": "<pad>"}}, "tokenizer", "has no eos_token, which ends every target"),
        ({"config": {"model_type": "gpt2"}}, "model", "gpt2 models are not for this task"),
    ],
)
def test_each_fault_names_its_place(tmp_path: Path, changes: dict[str, Any], key: str, message: str) -> None:
    """The key says which part of the sweep to put right, the hint how."""
    with pytest.raises(UserError) as raised:
        build_workload(task(tmp_path, "seq2seq", PAIRS, **changes))
    assert message in raised.value.message
    assert raised.value.key[:2] == ("task", key)
    assert raised.value.hint


def test_the_table_names_the_columns_of_texts(tmp_path: Path) -> None:
    """The preflight looks at these, before tokenizer and model are made."""
    table = read_table(task(tmp_path, "seq2seq", PAIRS))
    assert table is not None
    assert (dict(table.texts), table.labels, table.kind) == (
        {"source": "source", "target": "target"},
        (),
        "none",
    )
