"""From a bad batch to its guilty rows: exactly those, in few runs, and no row is accused without need."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabsearch.trial.narrowing import guilty_rows

MAX_ROWS = 24


class Batch:
    """Rows of which some are always bad, and some only among themselves (a mean over nothing)."""

    def __init__(self, guilty: set[int], lonely: set[int]) -> None:
        self.guilty, self.lonely = guilty, lonely
        self.runs = 0

    def is_bad(self, places: list[int]) -> bool:
        assert places == sorted(set(places)), "each row once, in the order of the batch"
        assert places, "an empty batch says nothing"
        self.runs += 1
        return bool(self.guilty & set(places)) or set(places) <= self.lonely


@st.composite
def batches(draw: Callable[..., int]) -> tuple[int, set[int], set[int]]:
    """Number of rows, guilty rows, rows that are bad only among themselves; at least one is innocent."""
    num_rows = draw(st.integers(2, MAX_ROWS))
    kinds = draw(
        st.lists(st.sampled_from(["clean", "guilty", "lonely"]), min_size=num_rows, max_size=num_rows)
    )
    places = {
        kind: {i for i, each in enumerate(kinds) if each == kind} for kind in ("clean", "guilty", "lonely")
    }
    return num_rows, places["guilty"], places["lonely"]


@given(batches())
def test_exactly_the_guilty_rows_are_found(batch: tuple[int, set[int], set[int]]) -> None:
    """Whatever the subset; rows that are bad only by themselves do no harm beside others, and go free."""
    num_rows, guilty, lonely = batch
    if not guilty or len(guilty | lonely) == num_rows:
        return
    found, is_specific = guilty_rows(num_rows, Batch(guilty, lonely).is_bad)
    assert set(found) == guilty
    assert list(found) == sorted(found)
    assert is_specific


@given(st.integers(1, MAX_ROWS), st.sets(st.integers(0, MAX_ROWS - 1)))
def test_a_batch_of_nothing_but_bad_rows_has_no_suspect(num_rows: int, lonely: set[int]) -> None:
    """When every row is bad by itself, no row is to blame: it is the loss, or the weights."""
    lonely = {place for place in lonely if place < num_rows}
    guilty = set(range(num_rows)) - lonely
    found, is_specific = guilty_rows(num_rows, Batch(guilty, lonely).is_bad)
    assert found == tuple(range(num_rows))
    assert not is_specific


@pytest.mark.parametrize("num_rows", [3, 4, 5, 8, 13])
def test_rows_that_cannot_be_run_by_themselves(num_rows: int) -> None:
    """A batch norm refuses a batch of one row; the guilty row is found all the same."""
    for guilty in range(num_rows):
        found = guilty_rows(num_rows, lambda places, guilty=guilty: len(places) == 1 or guilty in places)
        assert found == ((guilty,), True)


@pytest.mark.parametrize("num_rows", [1, 2, 7])
def test_a_batch_that_is_bad_only_as_a_whole_has_no_suspect(num_rows: int) -> None:
    """A sum that overflows, or dropout that draws other numbers for fewer rows."""
    whole = list(range(num_rows))
    found, is_specific = guilty_rows(num_rows, lambda places: places == whole)
    assert found == tuple(whole)
    assert not is_specific


def test_a_batch_that_is_not_bad_again_has_no_suspect() -> None:
    """Nobody is accused when the failure does not come back."""
    assert guilty_rows(4, lambda places: False) == ((0, 1, 2, 3), False)


def test_rows_that_are_bad_without_being_all_of_it() -> None:
    """Two faults, of which one takes two rows: without the single bad row the batch is still bad."""
    found, is_specific = guilty_rows(8, lambda places: 5 in places or {1, 6} <= set(places))
    assert found == tuple(range(8))
    assert not is_specific


@given(st.integers(2, 512), st.data())
def test_few_rows_take_few_runs(num_rows: int, data: st.DataObject) -> None:
    """About k log n runs for k guilty of n rows: two per level and row, and a check of each."""
    guilty = data.draw(st.sets(st.integers(0, num_rows - 1), min_size=1, max_size=min(4, num_rows - 1)))
    batch = Batch(guilty, set())
    guilty_rows(num_rows, batch.is_bad)
    levels = math.ceil(math.log2(num_rows))
    assert batch.runs <= 1 + len(guilty) * (2 * levels + 1) + 1
