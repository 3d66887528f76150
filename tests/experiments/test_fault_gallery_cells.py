"""Planted faults through the ladder, from end to end: one of each cause, one healthy control."""

from __future__ import annotations

import pytest
import torch

from experiments.fault_gallery import cell as cells
from experiments.fault_gallery.cell import Cell, measure

NAMED = [
    Cell("target-nan", 0, "fp32"),
    Cell("one-hot-floats", 0, "fp32"),
    Cell("rate-1e8", 0, "fp32"),
    Cell("fp16-billion-mask", 0, "fp16"),
    Cell("fp16-large-quantities", 0, "fp16"),
    Cell("weights-nan", 0, "fp32"),
    Cell("adam-epsilon-zero", 0, "fp32"),
    Cell("activation-flips", 0, "fp32"),
    Cell("own-learning-rate", 0, "fp32"),
    Cell("plain", 0, "fp32"),
]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("cell", NAMED, ids=lambda cell: cell.fault)
def test_the_planted_cause_is_named(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells.replaying, "verdict", lambda bundle: "")  # a process of its own: tested below
    result = measure(cell)
    assert result.named == result.planted, result.sentence
    assert bool(result.errors) <= (result.planted is not None)


def test_a_row_fault_is_found_kept_and_replayed_bit_for_bit_in_another_process() -> None:
    result = measure(Cell("feature-nan", 3, "fp32"))
    assert result.named == "data"
    assert result.named_rows == result.unaided_rows == result.planted_rows
    assert set(result.planted_rows) < set(result.bundle_rows)
    assert result.replay == "bit-exact"
    assert "from_features" in result.origin or "features" in result.origin


def test_a_ladder_that_raises_is_a_miss_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of the ladder")

    monkeypatch.setattr(cells, "diagnose", broken)
    monkeypatch.setattr(cells.replaying, "verdict", lambda bundle: "")
    result = measure(Cell("target-nan", 0, "fp32"))
    assert result.named == cells.RAISED != result.planted
    assert result.sentence == "ZeroDivisionError: of the ladder"
