"""What processes agree on, without the processes."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from stabsearch.trial.plain_form import PlainForm
from stabsearch.trial.ranks import Ranks


class Told(Ranks):
    """The first of two processes; the other one always says the same."""

    other: tuple[float, ...] = ()

    def _of_all(self, *values: float) -> list[tuple[float, ...]]:
        return [values, self.other]


def beside(*other: float) -> Ranks:
    ranks = Told(number=2)
    object.__setattr__(ranks, "other", other)
    return ranks


def test_the_largest_counts_each_value_by_itself() -> None:
    """One process has the larger norm, the other one the larger flag."""
    assert beside(3.0, 0.0).worst(2.0, 1.0) == (3.0, 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_counts_as_larger_still(bad: float) -> None:
    """Whichever of the processes it is, and whatever ``max`` would make of it."""
    for (seen,) in (beside(bad).worst(1e30), beside(1e30).worst(bad)):
        assert seen == bad or (math.isnan(bad) and math.isnan(seen))


def test_a_lone_process_asks_nobody() -> None:
    """Nothing is exchanged where there is nobody to exchange it with."""
    assert Ranks().worst(2.0, math.inf) == (2.0, math.inf)


@pytest.mark.parametrize(("together", "items"), [(True, 6), (False, 12)])
def test_one_process_alone_counts_its_share_of_the_labels(together: bool, items: int) -> None:
    """``compute_loss`` multiplies by the processes where the count is that of all."""
    ranks = Ranks(number=2, counts_items_together=together)
    assert ranks.items_alone(torch.tensor(12)) == items
    assert ranks.items_alone(None) is None


class OneGuard:
    """A guard that takes down what its form tells it of an update."""

    loss_scale, limit = 4.0, 1.0
    window: tuple[Any, ...] = ()

    def __init__(self, ranks: Ranks) -> None:
        weight = torch.nn.Parameter(torch.ones(2))
        weight.grad = torch.tensor([3.0, 4.0])
        scaler = None
        optimizer = torch.optim.SGD([weight], lr=0.5)
        accelerator = SimpleNamespace(scaler=scaler)
        self.trainer = SimpleNamespace(optimizer=optimizer, accelerator=accelerator)
        self.ranks, self.norms = ranks, [5.0]
        self.noted: tuple[Any, ...] = ()

    def note(self, *told: Any) -> None:
        self.noted = told


@pytest.mark.parametrize(
    ("other", "norm", "skipped"),
    [((math.inf, 0.0), math.inf, False), ((1.0, 1.0), 5.0, True), ((1.0, 0.0), 5.0, False)],
)
def test_what_befell_another_process_is_noted_here(
    other: tuple[float, ...], norm: float, skipped: bool
) -> None:
    """A bad norm, or a skipped update, of one process alone is that of all."""
    guard: Any = OneGuard(beside(*other))
    PlainForm(guard).take_update()
    assert guard.noted == (norm, 0.5, skipped, 4.0, 1.0)
