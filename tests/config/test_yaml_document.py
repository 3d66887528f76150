"""YAML as a sweep reads it: the scalars of YAML 1.2, nothing silent, nothing unsafe."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabsearch.config.document import NotYamlError, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.5e3", -500.0),
        ("010", 10),
        ("0o17", 15),
        ("0x1f", 31),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("true", True),
        ("null", None),
        ("", None),
    ],
)
def test_reads_the_scalars_of_yaml_1_2(text: str, value: object) -> None:
    """A learning rate written as 1e-5 is a number, as everyone means it."""
    seen = parse(f"key: {text}").data["key"]
    assert seen == value
    assert type(seen) is type(value)


@pytest.mark.parametrize("text", ["yes", "no", "on", "off", "y", "2001-01-01", "12:30", "1_000", "'1e-5'"])
def test_everything_else_is_text(text: str) -> None:
    """``eval_strategy: no`` stays the word that Transformers wants."""
    assert parse(f"key: {text}").data == {"key": text.strip("'")}


@given(st.floats(allow_nan=False))
def test_every_python_float_is_read_back(number: float) -> None:
    """However Python prints a float, a sweep reads the same number."""
    text = {math.inf: ".inf", -math.inf: "-.inf"}.get(number, repr(number))
    assert parse(f"key: {text}").data["key"] == number


def test_anchors_and_merged_keys_work() -> None:
    """A part may be written once and used twice; the mapping's own keys win."""
    assert parse("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}").data["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: 2\na: 3", 3, "key 'a' is given twice, on lines 1 and 3"),
        ("a:\n  x: 1\n  x: 2", 3, "key 'x' is given twice, on lines 2 and 3"),
        ("a: &a [*a]", 1, "an alias stands inside its own anchor"),
        ("a: !!python/object/apply:os.system [x]", 1, "could not determine a constructor"),
        ("a: !!bool 3", 1, "'3' is not true or false"),
        ("a: !!int x", 1, "'x' is not a whole number"),
        ("? [1]\n: 2", 1, "found unhashable key"),
        ("a: \x00", 1, r"character '\x00'"),
        ("a: 1\n---\nb: 1", 2, "found another document"),
        ("[" * 2000, 1, "nested more than 32 levels deep"),
    ],
)
def test_what_is_no_plain_document_is_refused_with_its_line(text: str, line: int, problem: str) -> None:
    """Nothing is guessed, nothing is executed, no traceback."""
    with pytest.raises(NotYamlError) as caught:
        parse(text)
    assert problem in caught.value.problem
    assert caught.value.line == line
    assert caught.value.hint
