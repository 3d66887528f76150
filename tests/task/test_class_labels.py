"""Class labels from a column, and what their marginals alone would cost."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabsearch.errors import UserError
from stabsearch.task.labels import ClassLabels, class_labels


def labels_of(values: list[Any]) -> ClassLabels:
    return class_labels(pd.Series(values, name="label"))


@pytest.mark.parametrize(
    ("values", "ids", "names"),
    [
        (["pos", "neg", "pos"], [1, 0, 1], ("neg", "pos")),
        ([0, 2, 1], [0, 2, 1], ("0", "1", "2")),
        (["0", "10", "2"], [0, 10, 2], tuple(str(i) for i in range(11))),
        (["1", "0", " 1"], [1, 0, 1], ("0", "1")),
        ([0.0, 1.0], [0, 1], ("0", "1")),
        ([True, False], [1, 0], ("0", "1")),
        (["1", "one"], [0, 1], ("1", "one")),
        ([0, 2, 0], [0, 2, 0], ("0", "1", "2")),
    ],
)
def test_names_are_sorted_and_integers_are_ids(
    values: list[Any], ids: list[int], names: tuple[str, ...]
) -> None:
    """Numbers mean themselves, also as text, as a CSV file gives them; anything else is a name."""
    labels = labels_of(values)
    assert labels.ids_N.tolist() == ids
    assert labels.names == names
    assert labels.num_classes == len(names)


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ([1, 2, 3], "holds ids 1 to 3; class ids count from 0", "subtract 1 from every label"),
        (["1", "2"], "holds ids 1 to 2", "subtract 1"),
        ([-1, 0, 1], "holds ids -1 to 1", "remove or relabel the negative rows"),
        ([0.5, 1.0], "values that are no class, such as 0.5", "integers from 0, or names"),
        ([0.0, math.inf], "values that are no class, such as inf", "integers from 0, or names"),
        (["0", "1.5"], "values that are no class, such as 1.5", "integers from 0, or names"),
        (["a", None, "b", None], "is empty in 2 rows, first in row 1", "drop these rows"),
        (["a", "b", "  "], "is empty in 1 rows, first in row 2", "drop these rows"),
        ([0.0, math.nan, 1.0], "is empty in 1 rows", "drop these rows"),
        (["a", "a"], "holds one class only: 'a'", "nothing can be learned"),
        ([0, 0], "holds one class only", "nothing can be learned"),
        ([5, 5], "holds one class only", "nothing can be learned"),
        ([-3, -3], "holds one class only", "nothing can be learned"),
    ],
)
def test_labels_that_are_no_classes_are_refused(values: list[Any], message: str, hint: str) -> None:
    """The error names the column, what is in it and the way out."""
    with pytest.raises(UserError) as raised:
        labels_of(values)
    assert raised.value.message.startswith("label column 'label' ")
    assert message in raised.value.message
    assert hint in raised.value.hint
    assert raised.value.key == ("task", "label")


@given(st.lists(st.integers(0, 5), min_size=2, max_size=50))
def test_the_chance_loss_is_the_entropy_of_the_labels(ids: list[int]) -> None:
    """Predicting the marginals costs their entropy: at most ln C, and 0 for one class."""
    labels = ClassLabels(np.array(ids), tuple("abcdef"))
    shares = [ids.count(c) / len(ids) for c in set(ids)]
    assert labels.chance_loss == pytest.approx(-sum(p * math.log(p) for p in shares), abs=1e-12)
    assert -1e-12 <= labels.chance_loss <= math.log(6) + 1e-12


def test_balanced_classes_cost_ln_c() -> None:
    """Four equal classes: ln 4 nats."""
    assert labels_of([0, 1, 2, 3]).chance_loss == pytest.approx(math.log(4))
