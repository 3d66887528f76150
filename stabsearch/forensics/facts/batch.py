"""One batch as the Trainer would make it, and the shapes in it."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stabsearch.forensics.facts.rows import LABEL_COLUMNS
from stabsearch.forensics.facts.summary import RowSummary

MOST_ROWS = 8
"""Rows of the batch that is looked at: enough for every shape, cheap to run."""


@dataclass(frozen=True)
class Part:
    """One entry of a batch."""

    is_tensor: bool
    shape: tuple[int, ...] = ()
    dtype: str = ""
    """Torch dtype without its prefix; of anything but a tensor, the Python type."""
    low: float = 0.0
    """Smallest finite number of a floating-point tensor."""


@dataclass(frozen=True)
class BatchFacts:
    """A batch that the Trainer's collator made of a few rows."""

    rows: tuple[int, ...] = ()
    """Rows of the training data it was made of."""
    parts: Mapping[str, Part] = field(default_factory=dict)
    problem: str = ""
    """What the collator, or the data set, raised; empty when there is a batch."""
    is_mapping: bool = True
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """The batch itself."""
    takes: Collection[str] = ()
    """Arguments that the model's forward names."""
    label_names: tuple[str, ...] = ("labels",)

    @property
    def labels(self) -> Part | None:
        """Return the labels of the batch; None without any."""
        return next((self.parts[name] for name in self.label_names if name in self.parts), None)

    @property
    def label_dtype(self) -> str:
        """Return the dtype of the labels; ``int64`` without any."""
        return self.labels.dtype if self.labels is not None and self.labels.is_tensor else "int64"


def batch_of(trainer: Any, rows: tuple[int, ...], takes: Collection[str]) -> BatchFacts:
    """Return the batch that the Trainer would make of these rows; changes nothing of the Trainer.

    The caller keeps the random numbers: collators draw some.
    """
    label_names = tuple(trainer.label_names or LABEL_COLUMNS[:1])
    common: dict[str, Any] = {"rows": rows, "takes": takes, "label_names": label_names}
    with _columns_unread(trainer):
        try:
            batch = _collated(trainer, rows)
        except Exception as error:  # noqa: BLE001 - any code of the user's; what it raised is the finding
            return BatchFacts(problem=" ".join(f"{type(error).__name__}: {error}".split()), **common)
    if not isinstance(batch, Mapping):
        return BatchFacts(is_mapping=False, problem=f"a {type(batch).__name__}", **common)
    parts = {str(name): _part(value) for name, value in batch.items()}
    return BatchFacts(parts=parts, inputs=dict(batch), **common)


def picked_rows(rows: RowSummary, bad: set[int], batch_size: int) -> tuple[int, ...]:
    """Return the rows of a small batch: the shortest, the longest and the first, no bad one."""
    ids = rows.columns.get("input_ids")
    size = min(MOST_ROWS, batch_size, rows.num_rows)
    first = [row for row in range(min(rows.num_rows, size + len(bad))) if row not in bad]
    if ids is None or size < 2:
        return tuple(first[:size])
    good = np.ones(rows.num_rows, dtype=bool)
    good[sorted(bad)] = False
    longest = ids.length_N.max()
    ends = (np.where(good, ids.length_N, longest + 1).argmin(), np.where(good, ids.length_N, -1).argmax())
    extremes = [int(row) for row in ends if good[row]]
    return tuple(dict.fromkeys([*extremes, *first]))[:size]


def _collated(trainer: Any, rows: tuple[int, ...]) -> Any:
    dataset, collator = trainer.train_dataset, _unshared(trainer.data_collator)
    if type(dataset).__module__.partition(".")[0] == "datasets":
        dataset = trainer._remove_unused_columns(dataset)
    else:
        collator = trainer._get_collator_with_removed_columns(collator)
    return collator([dataset[index] for index in rows])


@contextmanager
def _columns_unread(trainer: Any) -> Iterator[None]:
    """Leave no trace of the columns that were looked up in the Trainer."""
    known = trainer._signature_columns
    try:
        yield
    finally:
        trainer._signature_columns = known


def _unshared(collator: Any) -> Any:
    """Return the collator with random generators of its own: masks drawn here are not missed later."""
    if not hasattr(collator, "__dict__") or isinstance(collator, type) or not hasattr(collator, "generator"):
        return collator
    twin = copy.copy(collator)
    twin.generator = _copied_generator(collator.generator)
    return twin


def _copied_generator(generator: Any) -> Any:
    if hasattr(generator, "get_state") and hasattr(generator, "device"):
        import torch

        twin = torch.Generator(device=generator.device)
        twin.set_state(generator.get_state())
        return twin
    return copy.deepcopy(generator)


def _part(value: Any) -> Part:
    import torch

    if not isinstance(value, torch.Tensor):
        return Part(False, dtype=type(value).__name__)
    low = 0.0
    if value.is_floating_point() and value.numel():
        finite = value[torch.isfinite(value)]
        low = float(finite.min()) if finite.numel() else 0.0
    return Part(True, tuple(value.shape), str(value.dtype).removeprefix("torch."), low)
