"""JSON from a file that may have been tampered with: every field is checked, and named when it is wrong."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from stabsearch.capture.typed import typed


@dataclass(frozen=True)
class Inner:
    name: str


@dataclass(frozen=True)
class Outer:
    count: int
    share: float
    is_on: bool
    inner: Inner
    numbers: tuple[int, ...] = ()
    parts: tuple[Inner, ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    maybe: tuple[int, ...] | None = None
    free: Any = None


GOOD: dict[str, Any] = {
    "count": 1, "share": 2, "is_on": True, "inner": {"name": "a"}, "numbers": [1, 2],
    "parts": [{"name": "b"}], "rates": {"x": "nan"}, "maybe": None, "free": {"any": ["thing"]},
}  # fmt: skip


def test_good_data_becomes_the_dataclass() -> None:
    """Lists become tuples, nested objects dataclasses, and a NaN that JSON lacks a number."""
    made = typed(Outer, GOOD)
    assert math.isnan(made.rates["x"])
    assert made == Outer(
        1, 2.0, True, Inner("a"), (1, 2), (Inner("b"),), made.rates, None, {"any": ["thing"]}
    )
    assert typed(Outer, {**asdict(made), "numbers": [], "parts": [], "maybe": [3]}).maybe == (3,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": True}, "count is True, not of type int"),
        ({"count": 1.0}, "count is 1.0, not of type int"),
        ({"count": None}, "count is None, not of type int"),
        ({"share": "1"}, "share is '1', not of type float"),
        ({"share": True}, "share is True, not of type float"),
        ({"is_on": 1}, "is_on is 1, not of type bool"),
        ({"inner": {"name": 3}}, "inner.name is 3, not of type str"),
        ({"inner": []}, "inner is not an object"),
        ({"inner": {}}, "no field inner.name"),
        ({"numbers": [1, "2"]}, r"numbers\[1\] is '2', not of type int"),
        ({"numbers": 1}, "numbers is not a list"),
        ({"parts": [{"name": "b"}, {}]}, r"no field parts\[1\].name"),
        ({"rates": {"x": None}}, "rates.x is None"),
        ({"rates": []}, "rates is not an object"),
        ({"maybe": "12"}, "maybe is not a list"),
        ({"more": 1}, "unknown field more"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    """A bool is no number, a text no list, and nothing is converted by good will."""
    with pytest.raises(TypeError, match=f"^{message}"):
        typed(Outer, {**GOOD, **change})


@pytest.mark.parametrize("name", list(GOOD))
def test_every_field_has_to_be_there(name: str) -> None:
    """A field with a default was written too; without it the file is not the one that was written."""
    with pytest.raises(TypeError, match=f"^no field {name}"):
        typed(Outer, {key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_what_is_no_object_is_no_dataclass(data: Any) -> None:
    """JSON can be any value at the top."""
    with pytest.raises(TypeError, match="it is not an object"):
        typed(Outer, data)
