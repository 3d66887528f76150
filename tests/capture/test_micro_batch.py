"""Some rows of a micro-batch, as the collator would have made a batch of them alone."""

from __future__ import annotations

import torch

from stabsearch.capture.micro_batch import MicroBatch, RngState

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
IDS = torch.tensor([[5, 6, 7, 8], [9, 5, 0, 0]])


def picked(place: int, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the inputs of one row of two."""
    whole = MicroBatch({"input_ids": IDS, "attention_mask": MASK, **inputs}, RngState.now())
    return dict(whole.only([place]).inputs)


def test_padding_for_a_row_that_is_left_out_is_cut_off() -> None:
    """A row that is too long must not make the others too long; labels per token are cut alike."""
    labels = torch.tensor([[-100, 6, 7, 8], [-100, 5, -100, -100]])
    alone = picked(1, labels=labels)
    assert {name: value.tolist() for name, value in alone.items()} == {
        "input_ids": [[9, 5]],
        "attention_mask": [[1, 1]],
        "labels": [[-100, 5]],
    }


def test_a_target_as_wide_as_its_sources_keeps_its_labels() -> None:
    """Sequence to sequence: the mask is that of the source, and says nothing of the target."""
    labels = torch.tensor([[4, 2, -100, -100], [4, 5, 6, 2]])
    alone = picked(1, labels=labels)
    assert alone["labels"].tolist() == [[4, 5, 6, 2]]
    assert alone["input_ids"].shape == alone["attention_mask"].shape


def test_a_target_of_another_width_is_left_alone() -> None:
    """Only what has one entry per token of the source is cut."""
    alone = picked(1, labels=torch.tensor([[4, 2, -100], [4, 5, 2]]))
    assert alone["labels"].tolist() == [[4, 5, 2]]
    assert alone["input_ids"].tolist() == [[9, 5]]
