"""Masked language models: which tokens are hidden, that it can be repeated, and that some always are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from language_samples import ALL_ROLES, BERT, BOS, EOS, MASK, PAD, SPECIAL, UNK, WORDS, task, text, tokenizer
from safetensors.torch import load_file
from transformers import BertConfig, BertModel, DataCollatorForLanguageModeling, Trainer, TrainingArguments

from stabsearch.errors import UserError
from stabsearch.task.masked_lm import DataCollatorForMaskedLanguageModeling
from stabsearch.task.registry import build_workload, read_table
from stabsearch.task.workload import RowWorkload

TEXTS = [text(i, 8) for i in range(12)]


def build(folder: Path, texts: list[str] = TEXTS, **changes: Any) -> RowWorkload:
    workload = build_workload(task(folder, "masked-lm", {"text": texts}, **changes))
    assert isinstance(workload, RowWorkload)
    return workload


def trainer(workload: RowWorkload, **settings: Any) -> Trainer:
    values = {
        "report_to": "none",
        "use_cpu": True,
        "per_device_train_batch_size": 4,
        "data_seed": 3,
        **settings,
    }
    return workload.trainer(TrainingArguments("/tmp/never-made", **values), 1)


def batches(workload: RowWorkload, **settings: Any) -> list[dict[str, torch.Tensor]]:
    """Return the batches of an epoch, as one trial's Trainer would see them."""
    return [dict(batch) for batch in trainer(workload, **settings).get_train_dataloader()]


def are_equal(left: list[dict[str, torch.Tensor]], right: list[dict[str, torch.Tensor]]) -> bool:
    return all(torch.equal(a[name], b[name]) for a, b in zip(left, right, strict=True) for name in a)


def test_rows_are_the_tokens_of_texts_and_labels_come_from_the_collator(tmp_path: Path) -> None:
    """Special tokens are those that the tokenizer puts around a text; longer texts are cut, end included."""
    wanted = {"template": "<s> $A </s>", **ALL_ROLES}
    workload = build(tmp_path, ["w1 w2", "w1 w2 w3 w4"], tokenizer=wanted, max_length=4)
    assert workload.rows[0] == {"input_ids": [BOS, 6, 7, EOS], "attention_mask": [1] * 4}
    assert workload.rows[1]["input_ids"] == [BOS, 6, 7, EOS]


def test_the_same_data_seed_hides_the_same_tokens(tmp_path: Path) -> None:
    """Whatever was drawn before, on this workload or by anything else; another seed hides others."""
    workload = build(tmp_path)
    first = batches(workload)
    torch.rand(7)
    assert are_equal(first, batches(workload))
    assert are_equal(first, batches(build(tmp_path)))
    assert not are_equal(first, batches(workload, data_seed=4))


def test_the_model_seed_hides_nothing_else(tmp_path: Path) -> None:
    """Trials of one data seed meet the same data, as with every other task."""
    workload = build(tmp_path)
    assert are_equal(batches(workload, seed=1), batches(workload, seed=2))


def test_hiding_draws_nothing_from_the_generator_of_dropout(tmp_path: Path) -> None:
    """Precisions draw dropout differently; the tokens that are hidden must not follow from it."""
    collator = trainer(build(tmp_path)).data_collator
    before = torch.get_rng_state()
    collator([{"input_ids": [5, 6, 7, 8]}])
    assert torch.equal(torch.get_rng_state(), before)


def test_special_tokens_are_never_hidden_and_others_at_the_stated_share(tmp_path: Path) -> None:
    """Over 2,000 tokens the share is within five standard deviations."""
    wanted = {"template": "<s> $A </s>", **ALL_ROLES}
    workload = build(tmp_path, [text(i, 10) for i in range(200)], tokenizer=wanted, mlm_probability=0.3)
    labels = torch.cat(
        [batch["labels"].flatten() for batch in batches(workload, per_device_train_batch_size=50)]
    )
    hidden = labels[labels != -100]
    assert not torch.isin(hidden, torch.tensor(range(len(SPECIAL)))).any()
    assert abs(len(hidden) / 2000 - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 2000)


def test_a_batch_always_has_a_hidden_token(tmp_path: Path) -> None:
    """Transformers' own collator leaves some without: their loss is 0/0."""
    workload = build(tmp_path, ["w1"] * 40, mlm_probability=0.05)
    ours = batches(workload, per_device_train_batch_size=1)
    assert all(int((batch["labels"] != -100).sum()) == 1 for batch in ours)
    assert all(int(batch["labels"].max()) == 6 for batch in ours)
    assert sum(int(batch["input_ids"][0, 0]) == MASK for batch in ours) > 30
    stock = DataCollatorForLanguageModeling(workload.tokenizer, mlm_probability=0.05, seed=3)
    assert any(bool((stock([workload.rows[i]])["labels"] == -100).all()) for i in range(40))


def test_a_batch_with_nothing_to_hide_is_left_as_it_is(tmp_path: Path) -> None:
    """The preflight speaks of such rows; the collator does not hide what stands for no text."""
    collator = DataCollatorForMaskedLanguageModeling(build(tmp_path).tokenizer, mlm_probability=0.5, seed=0)
    batch = collator([{"input_ids": [BOS, EOS]}, {"input_ids": [UNK]}])
    assert batch["input_ids"].tolist() == [[BOS, EOS], [UNK, PAD]]
    assert batch["labels"].tolist() == [[-100, -100], [-100, -100]]


def test_packing_makes_blocks_of_one_length(tmp_path: Path) -> None:
    """As `run_mlm.py` does: special tokens and all, and the rest is left out."""
    wanted = {"template": "<s> $A </s>", **ALL_ROLES}
    workload = build(tmp_path, ["w1 w2", "w3 w4 w5"], tokenizer=wanted, packing=True, max_length=4)
    assert [workload.rows[i]["input_ids"] for i in range(workload.num_rows)] == [
        [BOS, 6, 7, EOS],
        [BOS, 8, 9, 10],
    ]


def test_chance_is_guessing_by_frequency_over_what_may_be_hidden(tmp_path: Path) -> None:
    """Special and unknown tokens are never hidden, and do not count."""
    wanted = {"template": "<s> $A </s>", **ALL_ROLES}
    workload = build(tmp_path, ["w1 w1 w1 w2", "nobody knows"], tokenizer=wanted)
    assert workload.chance_loss == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_a_checkpoint_without_a_head_keeps_its_weights(tmp_path: Path) -> None:
    """The new head is tied to the embedding: initialising it must not touch what was trained."""
    torch.manual_seed(0)
    config = {**BERT, "vocab_size": len(SPECIAL) + len(WORDS)}
    config.pop("model_type")
    body = BertModel(BertConfig(**config))
    body.save_pretrained(tmp_path / "body")
    tokenizer(tmp_path / "body", **ALL_ROLES)
    made = task(tmp_path, "masked-lm", {"text": TEXTS}, tokenizer=str(tmp_path / "body"))
    workload = build_workload(made.model_copy(update={"model": str(tmp_path / "body")}))
    stored = load_file(tmp_path / "body" / "model.safetensors")
    first, again, other = (workload.model(seed).state_dict() for seed in (1, 1, 2))
    for name, value in stored.items():
        if "pooler" not in name:
            assert torch.equal(first[f"bert.{name}"], value), name
            assert torch.equal(other[f"bert.{name}"], value), name
    assert torch.equal(first["cls.predictions.decoder.weight"], stored["embeddings.word_embeddings.weight"])
    assert all(torch.equal(first[name], again[name]) for name in first)
    head = "cls.predictions.transform.dense.weight"
    assert not torch.equal(first[head], other[head])


@pytest.mark.parametrize(
    ("changes", "texts", "key", "message"),
    [
        ({"text": "body"}, TEXTS, "text", "no column 'body'"),
        (
            {"tokenizer": {"pad_token": "<pad>"}},
            TEXTS,
            "tokenizer",
            "has no mask_token, which hides the tokens",
        ),
        ({"tokenizer": {"mask_token": "<mask>"}}, TEXTS, "tokenizer", "has no padding token"),
        (
            {"packing": True, "max_length": 400},
            TEXTS,
            "max_length",
            "are 96 tokens, fewer than one block of 400",
        ),
        ({}, ["", "nobody knows"], "text", "nothing but special tokens"),
        ({"config": {"model_type": "gpt2"}}, TEXTS, "model", "gpt2 models are not for this task"),
    ],
)
def test_each_fault_names_its_place(
    tmp_path: Path, changes: dict[str, Any], texts: list[str], key: str, message: str
) -> None:
    """The key says which part of the sweep to put right, the hint how."""
    with pytest.raises(UserError) as raised:
        build(tmp_path, texts, **changes)
    assert message in raised.value.message
    assert raised.value.key[:2] == ("task", key)
    assert raised.value.hint


def test_the_table_names_the_column_of_texts(tmp_path: Path) -> None:
    """The preflight looks at it, before tokenizer and model are made."""
    table = read_table(task(tmp_path, "masked-lm", {"text": TEXTS}))
    assert table is not None
    assert (dict(table.texts), table.labels, table.kind) == ({"text": "text"}, (), "none")


def test_it_hides_what_transformers_own_collator_hides(tmp_path: Path) -> None:
    """Token by token, as long as that one hides anything at all."""
    wanted = {"template": "<s> $A </s>", **ALL_ROLES}
    workload = build(tmp_path, ["nobody w1 w2 w3", *TEXTS], tokenizer=wanted)
    collators = [
        kind(workload.tokenizer, mlm_probability=0.3, seed=5)
        for kind in (DataCollatorForMaskedLanguageModeling, DataCollatorForLanguageModeling)
    ]
    for start in range(0, 12, 4):
        ours, theirs = (dict(each([workload.rows[i] for i in range(start, start + 4)])) for each in collators)
        assert are_equal([ours], [theirs])
