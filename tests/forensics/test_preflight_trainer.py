"""What a live Trainer is asked, on data of every kind, and that nothing about it changes."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from preflight_samples import (
    HEALTHY,
    bert,
    causal_collator,
    changed,
    class_rows,
    gpt2,
    look,
    masked_bert,
    plain_rows,
    roberta,
    rows,
    stacked,
    token_bert,
    token_collator,
    token_rows,
    tokenizer,
    tokens,
    trainer,
)
from rule_samples import altered
from torch.utils.data import Dataset, IterableDataset, Subset
from transformers import DataCollatorForLanguageModeling, Trainer

from stabsearch.errors import ExitCode
from stabsearch.forensics.finding import Finding, Severity, exit_code
from stabsearch.forensics.preflight import check_trainer
from stabsearch.records import Cause
from stabsearch.task.rows import Ragged, TokenRows


def ids_of(found: list[Finding]) -> set[str]:
    return {finding.rule for finding in found}


def one(found: list[Finding], rule: str) -> Finding:
    return next(finding for finding in found if finding.rule == rule)


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_of_healthy_training(name: str) -> None:
    """No kind of task gives a false alarm, in any precision; not even a warning."""
    assert [
        finding for finding in check_trainer(HEALTHY[name](), ("fp32", "bf16")) if finding.severity != "info"
    ] == []


def generators() -> list[Any]:
    kind, keys, place, *_ = np.random.get_state()
    return [torch.get_rng_state().tolist(), random.getstate(), kind, keys.tolist(), place]


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluating"])
def test_the_trainer_is_as_it_was(name: str, mode: bool) -> None:
    """Weights, buffers, configuration, mode, columns, collator and random numbers."""
    looked_at = HEALTHY[name]()
    looked_at.model.train(mode)
    before = copy.deepcopy(looked_at.model.state_dict())
    buffers = {key: value.clone() for key, value in looked_at.model.named_buffers()}
    known = vars(looked_at).copy()
    config, random_numbers = looked_at.model.config.to_dict(), generators()
    check_trainer(looked_at, ("fp32", "fp16"))
    assert generators() == random_numbers
    assert looked_at.model.config.to_dict() == config
    assert all(torch.equal(value, before[key]) for key, value in looked_at.model.state_dict().items())
    assert all(torch.equal(value, buffers[key]) for key, value in looked_at.model.named_buffers())
    assert {module.training for module in looked_at.model.modules()} == {mode}
    assert all(weight.grad is None for weight in looked_at.model.parameters())
    assert all(vars(looked_at)[key] is value for key, value in known.items())


def test_a_data_set_that_draws_draws_the_same_afterwards() -> None:
    """Every global generator has its state back."""

    class Noisy(Listed):
        def __getitem__(self, index: int) -> dict[str, Any]:
            random.random(), np.random.random(), torch.rand(1)
            return super().__getitem__(index)

    random_numbers = generators()
    look(Noisy(class_rows()))
    assert generators() == random_numbers


def test_a_collator_with_a_seed_of_its_own_draws_the_same_afterwards() -> None:
    """Masks drawn while looking are not missing from the training."""
    collators = [DataCollatorForLanguageModeling(tokenizer(), seed=7) for _ in range(2)]
    for collator in collators:
        collator(plain_rows(4))  # from here on it has its generator
    check_trainer(trainer(plain_rows(), masked_bert(), collators[0]))
    batches = [collator(plain_rows(4))["input_ids"] for collator in collators]
    assert torch.equal(*batches)


def test_training_goes_as_it_would_without_the_look() -> None:
    """The same seed gives the same weights, bit for bit."""
    weights = []
    for is_looked_at in (False, True):
        torch.manual_seed(3)
        trained = trainer(class_rows(), max_steps=3)
        if is_looked_at:
            check_trainer(trained, ("fp32", "bf16", "fp16"))
        trained.train()
        weights.append(trained.model.state_dict())
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


class Listed(Dataset[dict[str, Any]]):
    """A map-style data set around rows."""

    def __init__(self, made: list[dict[str, Any]]) -> None:
        self.made = made

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return dict(self.made[index])


def in_tensors(made: list[dict[str, Any]]) -> Listed:
    return Listed([{name: torch.tensor(value) for name, value in row.items()} for row in made])


def in_arrays(made: list[dict[str, Any]]) -> Listed:
    return Listed([{name: np.array(value) for name, value in row.items()} for row in made])


def in_arrow(made: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("datasets").Dataset.from_list(made)


def in_arrow_as_tensors(made: list[dict[str, Any]]) -> Any:
    return in_arrow(made).with_format("torch")


def in_arrow_transformed(made: list[dict[str, Any]]) -> Any:
    return in_arrow([{"row": i} for i in range(len(made))]).with_transform(
        lambda batch: {name: [made[i][name] for i in batch["row"]] for name in made[0]}
    )


def in_arrow_reordered(made: list[dict[str, Any]]) -> Any:
    return in_arrow([*made[::-1], *made[:3]]).select(range(len(made) - 1, -1, -1))


def in_token_rows(made: list[dict[str, Any]]) -> TokenRows:
    return TokenRows(
        {
            "input_ids": Ragged.of([row["input_ids"] for row in made]),
            "labels": np.array([row["labels"] for row in made]),
        }
    )


KINDS: list[Callable[[list[dict[str, Any]]], Any]] = [
    list, Listed, in_tensors, in_arrays, in_arrow, in_arrow_as_tensors, in_arrow_reordered, in_token_rows,
    lambda made: Subset(Listed(made + made), range(len(made))),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_are_read(kind: Any) -> None:
    """Healthy rows pass, and the number of a bad one is the number in the data set that is trained on."""
    settings = {"remove_unused_columns": False} if kind is in_arrow_transformed else {}
    assert look(kind(class_rows()), **settings) == []
    bad = one(look(kind(changed(class_rows(), 7, labels=9)), **settings), "STAB-D012")
    assert (bad.rows, bad.num_rows, bad.severity, bad.cause) == ((7,), 1, Severity.ERROR, Cause.DATA)


def test_rows_that_a_transform_makes_are_read() -> None:
    """The table below a transform is not what is trained on."""
    made = changed(class_rows(), 7, labels=9)
    assert one(look(in_arrow_transformed(made), remove_unused_columns=False), "STAB-D012").rows == (7,)


def test_a_table_in_many_blocks_is_one_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row numbers go on from block to block."""
    monkeypatch.setattr("stabsearch.forensics.facts.rows.ROWS_PER_BLOCK", 5)
    made = changed(changed(class_rows(23), 4, labels=-1), 21, labels=-1)
    assert one(look(in_token_rows(made)), "STAB-D011").rows == (4, 21)
    assert one(look(in_arrow(made)), "STAB-D011").rows == (4, 21)
    assert one(look(Listed(made)), "STAB-D011").rows == (4, 21)


def test_rows_beyond_the_limit_are_named_as_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python rows are converted up to a limit; a finding says so."""
    monkeypatch.setattr("stabsearch.forensics.facts.rows.MOST_CONVERTED", 10)
    found = look(Listed(changed(class_rows(), 11, labels=9)))
    assert [finding.rule for finding in found] == ["STAB-D002"]
    assert found[0].message == "only the first 10 of 12 rows were looked at"


class Once(IterableDataset[dict[str, Any]]):
    """A stream that can be read a single time."""

    def __init__(self) -> None:
        self.left = iter(class_rows())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.left


def test_a_stream_is_not_used_up() -> None:
    """Nothing is read from it; the model is looked at all the same."""
    stream = Once()
    found = look(stream, adam_epsilon=0.0)
    assert ids_of(found) == {"STAB-D002", "STAB-O002"}
    assert len(list(stream)) == 12


def test_a_stream_with_a_length_is_a_stream() -> None:
    """Its rows have no numbers to be asked by."""

    class Sized(Once):
        def __len__(self) -> int:
            return 12

    assert ids_of(look(Sized())) == {"STAB-D002"}


class OwnLoss(Trainer):
    """A loss of the user's: what Transformers' own would make of the labels does not matter."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = torch.nn.functional.mse_loss(outputs.logits.mean(-1), labels.float().clamp(max=1))
        return (loss, outputs) if return_outputs else loss


@pytest.mark.parametrize("labels", [[-5, 7] * 6, [[1.0, 2.0]] * 12, [3] * 12, [float("nan"), 1.0] * 6])
def test_a_loss_of_its_own_is_not_judged_by_the_models(labels: list[Any]) -> None:
    """Whatever the labels are, the model's loss never sees them."""
    assert [f for f in check_trainer(trainer(rows(labels), kind=OwnLoss)) if f.is_error] == []
    function = {"compute_loss_func": lambda outputs, labels, num_items_in_batch=None: outputs.logits.sum()}
    assert [f for f in check_trainer(trainer(rows(labels), **function)) if f.is_error] == []


def test_label_smoothing_keeps_the_rules_about_ids() -> None:
    """Transformers' smoother turns a label of -1 into class 0, silently."""
    assert ids_of(look(changed(class_rows(), 5, labels=-1), label_smoothing_factor=0.1)) == {"STAB-D011"}
    assert look(class_rows(), label_smoothing_factor=0.1) == []


def test_a_general_finding_gives_way_to_its_reason() -> None:
    """A label out of range also breaks the forward: one thing is said, not two."""
    assert ids_of(look(rows([5, 6, 7, 8]))) == {"STAB-D012"}


def test_the_batch_that_is_tried_holds_no_row_at_fault() -> None:
    """Bad rows are named; what the model makes of the good ones is still seen."""
    model = bert()
    with torch.no_grad():
        model.bert.encoder.layer[0].intermediate.dense.weight.mul_(1e6)
    found = look(changed(class_rows(), 0, labels=9), model, precisions=["fp16"])
    assert ids_of(found) >= {"STAB-D012", "STAB-M005"}


@pytest.mark.parametrize(
    ("num_without", "batch_size", "severity"),
    [(1, 4, "warning"), (3, 1, "error"), (12, 4, "error"), (11, 2, "error")],
)
def test_rows_without_labels_are_an_error_where_batches_of_them_will_come(
    num_without: int, batch_size: int, severity: str
) -> None:
    """0/0 needs a whole batch: one row among many is only worth a warning."""
    made = [
        row | {"labels": [-100] * len(row["labels"])} if i < num_without else row
        for i, row in enumerate(token_rows())
    ]
    settings = {"per_device_train_batch_size": batch_size, "max_steps": 100}
    found = look(made, token_bert(), token_collator(), **settings)
    assert one(found, "STAB-D018").severity == severity
    assert one(found, "STAB-D018").num_rows == num_without


def test_padding_that_the_collator_makes_a_label_is_found() -> None:
    """Labels are filled up with the padding token by the collator, not in the rows."""
    made = [{**row, "labels": list(row["input_ids"])} for row in plain_rows()]
    assert ids_of(look(made, gpt2(), token_collator(label_pad_token_id=0))) == {"STAB-D021"}
    assert look(made, gpt2(), token_collator()) == []


def test_ratings_are_no_class_ids() -> None:
    """Whole numbers that start at 1 are probably meant as numbers: a warning, not an error."""
    ratings = one(look(rows([1 + i % 5 for i in range(12)]), bert(1)), "STAB-L001")
    assert ratings.severity == "warning"
    assert one(look(class_rows(), bert(1)), "STAB-L001").severity == "error"


def test_half_precision_weights() -> None:
    """fp16 weights are an error (Adam's epsilon is 0 there), bf16 weights a warning."""
    half = look(class_rows(), bert().half())
    assert {(finding.rule, finding.severity.value) for finding in half} >= {
        ("STAB-M003", "error"),
        ("STAB-O002", "error"),
    }
    assert [finding.severity.value for finding in look(class_rows(), bert().bfloat16())] == ["warning"]
    meant = {"precisions": ("bf16-pure",)}
    assert look(class_rows(), bert().bfloat16(), **meant) == []
    assert ids_of(look(class_rows(), bert().half(), **meant)) >= {"STAB-M003"}


def test_a_mask_upside_down_is_an_error() -> None:
    """Ones where the padding is: the model is trained on nothing but padding."""
    padded = class_rows()
    for row in padded:
        row["attention_mask"] = [0] * len(row["input_ids"]) + [1] * 3
        row["input_ids"] = row["input_ids"] + [0] * 3
    assert one(look(padded), "STAB-D036").severity == "error"


def test_the_padding_of_roberta_takes_no_positions() -> None:
    """Its positions are counted over tokens; a row padded beyond the table's end is fine."""
    made = rows([i % 3 for i in range(12)], input_ids=lambda i: tokens(i, 9) + [1] * 5)
    for row in made:
        row["attention_mask"] = [1] * 9 + [0] * 5
    assert look(made, roberta(), stacked) == []
    assert "STAB-D033" in ids_of(look(made, bert(max_position_embeddings=11), stacked))


def masked_by(change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> list[Finding]:
    """Return what is said of a collator with masks of its own, made of its mask and the tokens."""

    def mask(batch: dict[str, Any]) -> dict[str, Any]:
        return batch | {"attention_mask": change(batch["attention_mask"], batch["input_ids"])}

    return look(class_rows(), collator=altered(mask))


def test_masks_that_the_collator_makes_are_looked_at() -> None:
    """Rows are in order, and what becomes of them is not: zeros, padding shown, everything upside down."""
    assert one(masked_by(lambda mask, _: mask * 0), "STAB-D035").severity == "error"
    assert one(masked_by(lambda mask, _: torch.ones_like(mask)), "STAB-D036").severity == "error"
    assert one(masked_by(lambda mask, _: 1 - mask), "STAB-D036").severity == "error"
    some = one(masked_by(lambda mask, ids: mask * (ids != ids[0, 0])), "STAB-D036")
    assert some.severity == "warning"
    assert masked_by(lambda mask, _: mask.bool()) == []


def test_a_row_of_nothing_but_padding_hides_nothing() -> None:
    """It is an empty text, not a broken mask."""
    empty = changed(class_rows(), 5, input_ids=[0] * 4, attention_mask=[0] * 4)
    assert [finding for finding in look(empty) if finding.is_error] == []


@pytest.mark.parametrize(("order", "severity"), [("sequential", "error"), ("random", "warning")])
def test_one_batch_without_labels_is_certain_where_rows_come_in_order(order: str, severity: str) -> None:
    """Four neighbours without labels are a batch of their own, or one chance in ten thousand."""
    made = token_rows(48)
    for row in made[8:12]:
        row["labels"] = [-100] * len(row["labels"])
    found = look(made, token_bert(), token_collator(), train_sampling_strategy=order)
    assert one(found, "STAB-D018").severity == severity


def test_outputs_that_are_bad_for_every_row_are_the_models_fault() -> None:
    """A single bad row is the row's, and is named."""
    model = bert()
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[5] = 1e25
    rare = rows([i % 3 for i in range(4)], input_ids=lambda i: [5 if i == 2 else 6, 7, 8, 9])
    found = one(look(rare, model), "STAB-L013")
    assert (found.rows, found.cause) == ((2,), Cause.DATA)


def test_texts_that_are_handed_in_are_looked_at() -> None:
    """Rows of tokens do not show that a text was blank."""
    found = look(class_rows(3), texts=["a", " ", "b"], per_device_train_batch_size=2)
    assert one(found, "STAB-D009").rows == (1,)


def test_an_empty_data_set_and_none_at_all() -> None:
    """Both are said, and nothing fails on the way."""
    assert ids_of(look([])) == {"STAB-D001"}
    assert ids_of(look(None)) == {"STAB-D002"}


def test_without_a_probe_no_forward_is_made() -> None:
    """Whoever cannot afford one still gets the rest."""

    class Loud(type(bert())):  # type: ignore[misc]
        def forward(self, *_: Any, **__: Any) -> Any:
            raise AssertionError

    model = Loud(bert().config)
    assert look(class_rows(), model, probe=False, remove_unused_columns=False) == []


def test_labels_made_by_the_collator_are_its_own() -> None:
    """Labels of rows that a masking collator writes over are not judged."""
    made = [row | {"labels": 99} for row in plain_rows()]
    assert [f for f in look(made, gpt2(), causal_collator()) if f.rule.startswith("STAB-D01")] == []


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([], ExitCode.ANSWER),
        ([("STAB-D001", Severity.WARNING)], ExitCode.ANSWER),
        ([("STAB-D001", Severity.ERROR), ("STAB-E001", Severity.ERROR)], ExitCode.AGAINST),
        ([("STAB-E001", Severity.ERROR)], ExitCode.CANNOT_JUDGE),
    ],
)
def test_findings_come_to_an_exit_code(rules: list[tuple[str, Severity]], code: ExitCode) -> None:
    """Data, model and settings are judged; a machine that cannot be used says nothing about them."""
    assert exit_code([Finding(rule, severity, "", "", Cause.DATA) for rule, severity in rules]) == code
