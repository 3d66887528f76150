"""Sequence classification from checkpoints and configurations."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from stabsearch.config import SequenceClassificationTask
from stabsearch.errors import UserError
from stabsearch.task.models import ModelFromConfig
from stabsearch.task.registry import build_workload, read_table
from stabsearch.task.workload import RowWorkload

SMALL = {
    "model_type": "bert",
    "vocab_size": 10,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


@pytest.fixture
def make(checkpoint: Path, tmp_path: Path) -> Any:
    """Return a builder of tasks on four rows."""
    path = tmp_path / "rows.tsv"
    path.write_text(
        "text\tother\tlabel\ngood film\ta plot\t0\nbad film\ta\t1\na good plot\ta\t2\nbad\tgood\t1\n"
    )

    def task(**changes: Any) -> SequenceClassificationTask:
        values = {
            "type": "sequence-classification",
            "model": str(checkpoint),
            "data": {"train": str(path)},
            **changes,
        }
        return SequenceClassificationTask.model_validate(values)

    return task


def test_a_checkpoint_keeps_its_weights_and_gets_a_new_head(checkpoint: Path, make: Any) -> None:
    """The body is the checkpoint, bit for bit; the head comes from the model seed alone."""
    workload = build_workload(make())
    stored = load_file(checkpoint / "model.safetensors")
    first, again, other = (workload.model(seed).state_dict() for seed in (1, 1, 2))
    assert stored
    for name, value in stored.items():
        assert torch.equal(first[f"bert.{name}"], value), name
        assert torch.equal(other[f"bert.{name}"], value), name
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    assert first["classifier.weight"].shape == (3, 16)
    assert 0.005 < float(first["classifier.weight"].std()) < 0.05


def test_copies_do_not_share_weights(make: Any) -> None:
    """Training one trial's model leaves the next trial's alone."""
    workload = build_workload(make())
    model = workload.model(1)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    assert float(workload.model(1).classifier.weight.detach().abs().sum()) > 0


def test_a_half_precision_checkpoint_is_loaded_as_float32(half_checkpoint: Path, make: Any) -> None:
    """It would otherwise train in pure fp16, silently."""
    model = build_workload(make(model=str(half_checkpoint))).model(0)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_head_of_another_size_is_new(half_checkpoint: Path, make: Any, tmp_path: Path) -> None:
    """A checkpoint for three classes on two classes gets a fresh head for two."""
    path = tmp_path / "two.tsv"
    path.write_text("text\tlabel\ngood\t0\nbad\t1\n")
    workload = build_workload(make(model=str(half_checkpoint), data={"train": str(path)}))
    heads = [workload.model(seed).classifier.weight.detach() for seed in (1, 2)]
    assert heads[0].shape == (2, 16)
    assert not torch.equal(*heads)


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_the_loss_is_cross_entropy_whatever_the_checkpoint_was_for(
    problem: str, checkpoint: Path, make: Any, tmp_path: Path
) -> None:
    """The kind of problem that a checkpoint was saved with would choose its own loss."""
    config = BertConfig.from_pretrained(checkpoint, num_labels=3, problem_type=problem)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "other")
    workload = build_workload(make(model=str(tmp_path / "other"), tokenizer=str(checkpoint)))
    made_by = workload.model(0)(**workload.collator([workload.rows[row] for row in range(3)]))
    expected = torch.nn.functional.cross_entropy(made_by.logits, torch.tensor([0, 1, 2]))
    assert torch.equal(made_by.loss, expected)


def test_a_head_that_the_checkpoint_holds_is_kept(half_checkpoint: Path, make: Any) -> None:
    """Nothing that was trained is thrown away."""
    workload = build_workload(make(model=str(half_checkpoint)))
    stored = load_file(half_checkpoint / "model.safetensors")["classifier.weight"].float()
    assert torch.equal(workload.model(1).classifier.weight.detach(), stored)


def test_the_rows_are_what_the_tokenizer_made_of_them(make: Any) -> None:
    """Ids, mask and label of each row, cut at the longest length allowed."""
    workload = build_workload(make(max_length=4))
    assert isinstance(workload, RowWorkload)
    assert (workload.num_rows, workload.model(0).config.num_labels) == (4, 3)
    assert workload.rows[0] == {"input_ids": [2, 5, 7, 3], "attention_mask": [1] * 4, "labels": 0}
    assert workload.rows[2]["input_ids"] == [2, 9, 5, 3]


def test_pairs_keep_their_segments(make: Any) -> None:
    """A model that was trained on pairs is told which text a token belongs to."""
    workload = build_workload(make(text_pair="other"))
    assert workload.rows[0] == {
        "input_ids": [2, 5, 7, 3, 9, 8, 3],
        "token_type_ids": [0, 0, 0, 0, 1, 1, 1],
        "attention_mask": [1] * 7,
        "labels": 0,
    }


def test_a_model_from_a_configuration(make: Any, checkpoint: Path) -> None:
    """Random weights from the seed alone; the classes come from the data."""
    workload = build_workload(make(model={"config": SMALL}, tokenizer=str(checkpoint)))
    first, again, other = (workload.model(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    assert first["classifier.weight"].shape == (3, 16)


@pytest.mark.parametrize(
    ("config", "message", "hint"),
    [
        ({}, "model_type is missing", "for example model_type: bert"),
        ({"model_type": "brt"}, "Transformers knows no model_type 'brt'", "did you mean 'bert'?"),
        ({**SMALL, "hidden_size": "wide"}, "expected int, got str", "see the fields"),
        ({**SMALL, "hidden_size": -4}, "negative dimension", "see the fields"),
        ({**SMALL, "num_attention_heads": 3}, "not a multiple of the number of attention heads", "see"),
        ({**SMALL, "num_attention_heads": 0}, "ZeroDivisionError", "see the fields"),
        ({**SMALL, "hidden_act": "foo"}, "'foo'", "see the fields"),
        ({"model_type": "clip"}, "clip models are not for this task", "another type of task"),
    ],
)
def test_a_configuration_that_makes_no_model(config: dict[str, Any], message: str, hint: str) -> None:
    """What a model's code makes of wrong fields reaches the user as one line."""
    with pytest.raises(UserError) as raised:
        ModelFromConfig(config, AutoModelForSequenceClassification, num_labels=2)
    assert message in raised.value.message
    assert "\n" not in raised.value.message
    assert hint in raised.value.hint
    assert raised.value.key[:3] == ("task", "model", "config")


def test_the_number_of_classes_comes_from_the_data() -> None:
    """A configuration that names another number does not decide it."""
    assert (
        ModelFromConfig({**SMALL, "num_labels": 7}, AutoModelForSequenceClassification, num_labels=2)(
            0
        ).config.num_labels
        == 2
    )


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"model": "./absent"}, ("task", "tokenizer|model"), "cannot load './absent'"),
        ({"model": {"config": SMALL}}, ("task", "model"), "needs a tokenizer of its own"),
        ({"text": "sentence"}, ("task", "text"), "no column 'sentence'"),
        ({"text_pair": "second"}, ("task", "text_pair"), "no column 'second'"),
        ({"label": "class"}, ("task", "label"), "no column 'class'"),
    ],
)
def test_each_fault_names_its_place(
    make: Any, changes: dict[str, Any], key: tuple[str, str], message: str
) -> None:
    """The key says which part of the sweep to put right."""
    with pytest.raises(UserError) as raised:
        build_workload(make(**changes))
    assert message in raised.value.message
    assert raised.value.key[0] == key[0]
    assert raised.value.key[1] in key[1].split("|")


@pytest.mark.parametrize("key", ["text", "text_pair", "label"])
def test_the_table_is_read_before_anything_is_made_of_it(make: Any, key: str) -> None:
    """A column that is not there is found out before tokenizer and model are looked for."""
    with pytest.raises(UserError, match="no column 'nowhere'") as raised:
        read_table(make(model="./absent", **{key: "nowhere"}))
    assert raised.value.key == ("task", key)


def test_a_table_that_was_read_is_not_read_again(make: Any, tmp_path: Path) -> None:
    """The preflight hands it on: a large file is parsed once."""
    task = make(text_pair="other")
    table = read_table(task)
    assert table is not None
    assert (len(table.frame), dict(table.texts), table.labels) == (
        4,
        {"text": "text", "text_pair": "other"},
        ("label",),
    )
    (tmp_path / "rows.tsv").unlink()
    assert build_workload(task, table).num_rows == 4


def test_a_tokenizer_without_padding(make: Any, checkpoint: Path, tmp_path: Path) -> None:
    """Rows of different lengths cannot be put into one batch."""
    plain = PreTrainedTokenizerFast(tokenizer_file=str(checkpoint / "tokenizer.json"))
    plain.save_pretrained(tmp_path / "plain")
    with pytest.raises(UserError, match="has no padding token"):
        build_workload(make(tokenizer=str(tmp_path / "plain")))
