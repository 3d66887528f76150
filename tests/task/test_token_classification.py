"""A class per word, at the first token of each."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from head_samples import CSV, JSON, head_task
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertTokenizerFast, PreTrainedTokenizerFast

from stabsearch.errors import UserError
from stabsearch.task.registry import build_workload, read_table

WORDS = [["good", "films"], ["bad"], ["a", "good", "plot"]]
IDS = [[0, 2], [1], [0, 0, 1]]
NAMES = [["O", "X"], ["P"], ["O", "O", "P"]]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "##s", "plot", "a"]


@pytest.fixture
def pieces(tmp_path: Path) -> str:
    """Return a tokenizer that cuts ``films`` in two, and writes marks around a row."""
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "pieces")
    return str(tmp_path / "pieces")


def task(folder: Path, words: list[Any] = WORDS, tags: list[Any] = IDS, **changes: Any) -> Any:
    """Return a task on rows of words."""
    return head_task(folder, "token-classification", {"tokens": words, "ner_tags": tags}, **changes)


def test_the_first_token_of_a_word_has_its_class(tmp_path: Path, pieces: str) -> None:
    """Further tokens of it, and marks around the row, are left out by the loss."""
    workload = build_workload(task(tmp_path, tokenizer=pieces))
    assert workload.rows[0] == {
        "input_ids": [2, 5, 7, 8, 3],
        "attention_mask": [1] * 5,
        "labels": [-100, 0, 2, -100, -100],
    }
    assert workload.rows[2]["labels"] == [-100, 0, 0, 1, -100]
    assert workload.model(0).config.num_labels == 3


def test_padding_is_left_out_by_the_loss(tmp_path: Path, pieces: str) -> None:
    """Labels are padded as far as the tokens are."""
    workload = build_workload(task(tmp_path, tokenizer=pieces))
    batch = workload.collator([workload.rows[0], workload.rows[1]])
    assert batch["labels"].tolist() == [[-100, 0, 2, -100, -100], [-100, 1, -100, -100, -100]]
    assert batch["input_ids"].shape == (2, 5)


@pytest.mark.parametrize("tags", [IDS, NAMES], ids=["ids", "names"])
@pytest.mark.parametrize("ending", [".parquet", JSON, CSV])
def test_lists_survive_every_format(tmp_path: Path, tags: list[Any], ending: str) -> None:
    """As arrays from Parquet, as lists from JSONL, as JSON text from CSV; names are sorted."""
    words, given = WORDS, tags
    if ending == CSV:
        words, given = [json.dumps(row) for row in WORDS], [json.dumps(row) for row in tags]
    workload = build_workload(task(tmp_path, words, given, ending=ending))
    expected = IDS if tags is IDS else [[0, 2], [1], [0, 0, 1]]
    assert [workload.rows[row]["labels"] for row in range(3)] == expected


def test_the_chance_loss_is_that_of_the_words_which_are_left(tmp_path: Path) -> None:
    """Words that are cut off are not trained on, and do not count."""
    whole = build_workload(task(tmp_path)).chance_loss
    half, third, sixth = (-(share * math.log(share)) for share in (1 / 2, 1 / 3, 1 / 6))
    assert whole == pytest.approx(half + third + sixth)
    cut = build_workload(task(tmp_path, max_length=1))
    assert [cut.rows[row]["labels"] for row in range(3)] == [[0], [1], [0]]
    assert cut.chance_loss == pytest.approx(-(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3)))


def test_byte_level_tokens_begin_with_the_space_between_words(tmp_path: Path) -> None:
    """RoBERTa and GPT-2 learned words in texts, where a space is before them."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<pad>"], show_progress=False)
    core.train_from_iterator(["the bad film and the good plot"] * 5, trainer)
    PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>").save_pretrained(tmp_path / "bytes")
    workload = build_workload(
        task(tmp_path, [["bad", "film"], ["good"]], [[0, 1], [1]], tokenizer=str(tmp_path / "bytes"))
    )
    tokens = workload.tokenizer.convert_ids_to_tokens(workload.rows[0]["input_ids"])
    assert tokens == ["Ġbad", "Ġfilm"]


@pytest.mark.parametrize(
    ("tags", "message", "hint"),
    [
        ([[0, 1], None, [0, 0, 1]], "holds nothing, in row 1", "lists come from JSONL"),
        ([0, 1, 2], "holds 0, which is no list, in row 0", "as JSON text"),
        ([[0, 1], [1], [0, 0]], "holds 2 labels for 3 words, in row 2", "every word a label"),
        ([[0, 1], [-1], [0, 0, 1]], "no class: -1, first in row 1", "integers from 0"),
        ([[0, 1], [0.5], [0, 0, 1]], "no class: 0.5, first in row 1", "integers from 0"),
        ([[0, 1], [None], [0, 0, 1]], "a missing label: None, first in row 1", "called O"),
        ([["O", "O"], ["O"], ["O", "O", "O"]], "one class only: 'O'", "nothing can be learned"),
        ([[0, 0], [0], [0, 0, 0]], "one class only: 0", "nothing can be learned"),
        ([["O", 1], ["O"], ["O", "P", "O"]], "something else: 1, first in row 0", "all classes as names"),
    ],
)
def test_labels_that_are_no_classes(tmp_path: Path, tags: list[Any], message: str, hint: str) -> None:
    """The first such row is named, and a way out."""
    with pytest.raises(UserError) as raised:
        build_workload(task(tmp_path, tags=tags, ending=JSON))
    assert message in raised.value.message
    assert hint in raised.value.hint
    assert raised.value.key == ("task", "label")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([["good", "films"], [], ["a", "good", "plot"]], "holds no word, in row 1"),
        ([["good", "films"], [None], ["a", "good", "plot"]], "no text among its words, in row 1"),
        (["good films", "bad", "a good plot"], "holds 'good films', which is no list, in row 0"),
    ],
)
def test_words_that_are_none(tmp_path: Path, words: list[Any], message: str) -> None:
    """A text is not cut into words here: labels could not be told apart."""
    with pytest.raises(UserError, match=message) as raised:
        build_workload(task(tmp_path, words, ending=JSON))
    assert raised.value.key == ("task", "text")


def test_a_length_that_leaves_no_word(tmp_path: Path, pieces: str) -> None:
    """The marks around a row fill it."""
    with pytest.raises(UserError, match="no word has a token among the first 2 of its row") as raised:
        build_workload(task(tmp_path, tokenizer=pieces, max_length=2))
    assert raised.value.key == ("task", "max_length")


@pytest.mark.parametrize(("key", "name"), [("text", "words"), ("label", "tags")])
def test_a_column_that_is_not_there_is_found_before_anything_is_made(
    tmp_path: Path, key: str, name: str
) -> None:
    """Before tokenizer and model are looked for."""
    with pytest.raises(UserError, match=f"no column '{name}'") as raised:
        read_table(task(tmp_path, **{key: name}))
    assert raised.value.key == ("task", key)


def test_the_table_names_its_columns(tmp_path: Path) -> None:
    """For the preflight."""
    table = read_table(task(tmp_path))
    assert table is not None
    assert (dict(table.texts), table.labels, table.kind) == (
        {"text": "tokens"}, ("ner_tags",), "token-classes",
    )  # fmt: skip
