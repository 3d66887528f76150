"""What is planted: every entry is what it says, and its trial ends as it says."""

from __future__ import annotations

import importlib
from dataclasses import replace

import pytest
import torch

from experiments.fault_gallery.fault import EVERYWHERE, Fault
from experiments.fault_gallery.faults import _FAMILIES, CONTROLS, FAULTS, GALLERY
from experiments.fault_gallery.faults.controls import CONTROLS as LISTED_CONTROLS
from experiments.fault_gallery.sentences import NUM_ROWS, tokenizer
from experiments.fault_gallery.side_by_side import asked_cell
from experiments.fault_gallery.workload import CHANCE
from stabsearch.records import Cause
from stabsearch.trial.arguments import trial_arguments
from stabsearch.trial.run import run_trial

each_entry = pytest.mark.parametrize("entry", GALLERY.values(), ids=GALLERY)
ROW_FAULTS = {name: fault for name, fault in FAULTS.items() if fault.rows}
each_row_fault = pytest.mark.parametrize("entry", ROW_FAULTS.values(), ids=ROW_FAULTS)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def trainer_of(entry: Fault, folder: str, seed: int = 0):
    plan = entry.plan(seed, entry.precisions[0])
    return entry.build(seed).trainer(trial_arguments(plan, entry.setup(), folder), seed)


def test_no_two_entries_have_the_same_name() -> None:
    """The registry is a dictionary: a second entry of a name would replace the first without a word."""
    listed = [fault for family in _FAMILIES for fault in family.FAULTS] + list(LISTED_CONTROLS)
    assert sorted(fault.name for fault in listed) == sorted(GALLERY)
    assert len({fault.story for fault in listed}) == len(listed)


def test_there_are_as_many_as_promised_and_of_every_cause_but_unknown() -> None:
    assert len(FAULTS) >= 24
    assert len(CONTROLS) >= 8
    assert {fault.cause for fault in FAULTS.values()} == set(Cause) - {Cause.UNKNOWN}
    assert all(control.cause is None for control in CONTROLS.values())


@each_entry
def test_another_seed_gives_other_rows_and_the_same_seed_the_same(entry: Fault) -> None:
    first, again, other = (rows_of(entry, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def rows_of(entry: Fault, seed: int) -> str:
    rows = entry.build(seed).rows
    return str([{name: getattr(value, "tolist", lambda v=value: v)() for name, value in rows[i].items()}
                for i in range(8)])  # fmt: skip


@each_row_fault
def test_planted_rows_are_rows_of_the_data_and_depend_on_the_seed(entry: Fault) -> None:
    planted = [entry.rows(seed) for seed in range(5)]
    assert all(rows and set(rows) <= set(range(NUM_ROWS)) for rows in planted)
    assert len(set(planted)) > 1


@each_row_fault
def test_a_row_fault_is_in_the_planted_rows_and_nowhere_else(entry: Fault) -> None:
    """Other rows differ from row to row; what all of them share, the planted ones do not have."""
    workload, planted = entry.build(0), set(entry.rows(0))
    odd = {row for row in range(workload.num_rows) if is_odd(workload.rows[row])}
    assert odd == planted


def is_odd(row: dict[str, object]) -> bool:
    """Return whether a row has anything that no healthy row of the gallery has."""
    numbers = [row["labels"], row.get("weight", 1.0), *row.get("features", ())]
    flat = [n for number in numbers for n in (number if isinstance(number, list) else [number])]
    tags = row["labels"] if isinstance(row["labels"], list) else []
    ids = row["input_ids"]
    return (
        any(number != number or abs(number) > 5 for number in flat if not tags)
        or (bool(tags) and set(tags) == {-100})
        or (isinstance(row["labels"], int) and not 0 <= row["labels"] <= 2)
        or not any(row["attention_mask"])
        or not all(0 <= token < len(tokenizer()) for token in ids)
        or len(ids) > 20
    )


@each_entry
def test_its_classes_can_be_imported_by_name(entry: Fault, tmp_path) -> None:
    """A bundle names the classes that it needs; a class inside a function could not be replayed."""
    trainer = trainer_of(entry, str(tmp_path))
    for kind in (type(trainer), type(trainer.model)):
        assert getattr(importlib.import_module(kind.__module__), kind.__qualname__) is kind


@each_entry
def test_its_trial_ends_as_it_says(entry: Fault) -> None:
    plan = entry.plan(0, entry.precisions[0])
    record = run_trial(plan, entry.build(0), entry.setup())
    assert record.outcome in entry.outcomes, record.message
    assert set(entry.precisions) <= set(EVERYWHERE)


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.family == "precision"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_fault_of_fp16_is_none_in_another_precision(name: str, precision: str) -> None:
    """Otherwise it would not be the precision that is to blame."""
    entry = GALLERY[name]
    record = run_trial(entry.plan(0, precision), entry.build(0), entry.setup())
    assert record.outcome == "stable", record.message


def test_what_happens_once_does_not_happen_to_a_second_trial_of_the_workload() -> None:
    entry = GALLERY["weight-flips"]
    workload = entry.build(0)
    first, second = (run_trial(entry.plan(0, "fp32"), workload, entry.setup()) for _ in range(2))
    assert (first.outcome != "stable", second.outcome) == (True, "stable")


def test_the_catapult_goes_up_and_comes_back() -> None:
    entry = GALLERY["catapult"]
    losses = run_trial(entry.plan(0, "fp32"), entry.build(0), entry.setup()).trace.losses
    assert max(losses) > 3 * losses[0]
    assert losses[-1] < losses[0] / 3


def test_fp16_really_skips_in_the_control_that_says_so() -> None:
    entry = GALLERY["fp16-skips"]
    assert run_trial(entry.plan(0, "fp16"), entry.build(0), entry.setup()).skipped_steps >= 3


def test_other_tools_are_asked_in_a_precision_that_the_fault_has() -> None:
    assert all(asked_cell(name).precision in fault.precisions for name, fault in GALLERY.items())


WITHOUT_THE_SETTING = {
    "adam-epsilon-zero": {},
    "adam-beta2-zero": {},
    "decay-huge": {},
    "sgd-momentum": {"optim": "sgd"},
}


@pytest.mark.parametrize("name", WITHOUT_THE_SETTING)
def test_an_optimizer_fault_is_none_with_its_setting_at_the_default(name: str) -> None:
    """Otherwise the learning rate would be to blame."""
    entry = replace(GALLERY[name], training=WITHOUT_THE_SETTING[name])
    record = run_trial(entry.plan(0, "fp32"), entry.build(0), entry.setup())
    assert record.outcome == "stable", record.message


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.family == "learning rate"])
def test_a_learning_rate_fault_is_none_at_a_gentle_rate(name: str) -> None:
    entry = replace(GALLERY[name], learning_rate=3e-3)
    record = run_trial(entry.plan(0, "fp32"), entry.build(0), entry.setup())
    assert record.outcome == "stable", record.message
    assert record.trace.losses[-1] < 1.1 * record.trace.losses[0]


@pytest.mark.parametrize("seed", range(3))
def test_the_rate_that_collapses_ends_above_chance_where_a_gentle_one_has_learned(seed: int) -> None:
    high = GALLERY["rate-collapses"]
    ends = []
    for entry in (high, replace(high, learning_rate=3e-3)):
        losses = run_trial(entry.plan(seed, "fp32"), entry.build(seed), entry.setup()).trace.losses
        ends.append(sum(losses[-8:]) / 8)
    assert ends[0] > CHANCE
    assert ends[1] < 0.8 * CHANCE
