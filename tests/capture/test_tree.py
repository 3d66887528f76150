"""Values of a batch survive their way to disk and back, in every bit; what cannot is refused by name."""

import json
import math
import struct
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save
from transformers import BatchEncoding

from stabsearch.capture.bits import bits, digest
from stabsearch.capture.tree import NotStorable, from_plain, put_together, take_apart, to_plain

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.bool,
    torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
]  # fmt: skip


def there_and_back(value: Any) -> Any:
    """Return a value after its way through JSON and safetensors."""
    tensors: dict[str, torch.Tensor] = {}
    node = json.loads(json.dumps(take_apart(value, "x", tensors), allow_nan=False))
    return put_together(node, load(save(tensors)))


def same(left: Any, right: Any) -> bool:
    """Return whether two values are of one type and equal in every bit."""
    if type(left) is not type(right):
        return False
    if isinstance(left, torch.Tensor):
        return digest([left]) == digest([right])
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return struct.pack(">d", left) == struct.pack(">d", right) if isinstance(left, float) else left == right


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)], ids=str)
def test_tensors_of_every_kind_come_back(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """Booleans, bytes, half precision, scalars and tensors without any element."""
    tensor = (torch.rand(shape) * 3).to(dtype)
    assert same(there_and_back({"input": tensor}), {"input": tensor})


def test_a_tensor_is_kept_as_it_is_now() -> None:
    """Whoever writes into the batch later does not change what was captured."""
    tensors: dict[str, torch.Tensor] = {}
    batch = torch.arange(6).reshape(2, 3)
    take_apart({"turned": batch.T}, "x", tensors)
    batch.zero_()
    assert tensors["x.turned"].tolist() == [[0, 3], [1, 4], [2, 5]]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=True, allow_infinity=True),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_values_come_back(value: Any) -> None:
    """Nested lists, tuples, mappings, text of any kind, None, and floats with all their bits."""
    assert same(there_and_back(value), value)


@pytest.mark.parametrize(
    "pattern", ["7ff8000000000000", "fff8000000000001", "7ff0000000000000", "8000000000000000"]
)
def test_a_nan_keeps_sign_and_payload(pattern: str) -> None:
    """NaNs differ, and so do zeros."""
    value = struct.unpack(">d", bytes.fromhex(pattern))[0]
    assert struct.pack(">d", there_and_back([value])[0]).hex() == pattern


def test_tensors_in_structures_keep_their_places() -> None:
    """Names are made of the places, and places may spell the same name."""
    one, two, three = torch.tensor(1), torch.tensor(2), torch.tensor(3)
    value = {"a": {"b": one}, "a.b": two, "list": [three, (one, None)], "a.b+": three}
    assert same(there_and_back(value), value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.arange(3, dtype=np.int64)[::-1], torch.tensor([2, 1, 0])),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.array(1.5), torch.tensor(1.5, dtype=torch.float64)),
        (BatchEncoding({"input_ids": torch.ones(2)}), {"input_ids": torch.ones(2)}),
    ],
)
def test_what_collators_return_as_well(value: Any, expected: Any) -> None:
    """Arrays become tensors, and a tokenizer's mapping a plain one."""
    assert same(there_and_back(value), expected)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"row": {"made": object()}}, "x.row.made is a builtins.object"),
        ([1, {1, 2}], "x.1 is a builtins.set"),
        ({"a": {1: 2}}, r"x.a\[1\] is a builtins.int"),
        (np.array(["text"]), "x with numbers of type <U4 is a numpy.ndarray"),
        (torch.eye(2).to_sparse(), r"x \(sparse, nested or complex\) is a torch.Tensor"),
        (torch.ones(1, dtype=torch.complex64), "sparse, nested or complex"),
        (b"bytes", "x is a builtins.bytes"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_name(value: Any, named: str) -> None:
    """Nothing is pickled to be on the safe side."""
    with pytest.raises(NotStorable, match=named):
        take_apart(value, "x", {})


@pytest.mark.parametrize(
    "node",
    [
        "text", None, {}, {"plain": 1, "float": "0"}, {"plain": [1]}, {"plain": 1.5}, {"tensor": "gone"},
        {"tensor": ["x"]}, {"mapping": []}, {"list": {}}, {"float": "xyz"}, {"float": "g" * 16}, {"float": 1},
        {"pickle": "gASV"}, {"mapping": {"a": {"tuple": [{"tensor": "gone"}]}}},
    ],
    ids=str,
)  # fmt: skip
def test_a_structure_that_is_not_ours_is_refused(node: Any) -> None:
    """Whatever a tampered file says, the error is one that the reader of bundles expects."""
    with pytest.raises(ValueError):  # noqa: PT011 - the reader turns it into its own message
        put_together(node, {"x": torch.ones(1)})


def test_configurations_stay_readable() -> None:
    """Numbers that JSON lacks are marked, and come back as numbers."""
    config = {"rate": 0.1, "limit": math.inf, "low": [-math.inf, {"deep": math.nan}], "dtype": torch.float32}
    text = json.dumps(to_plain(config), allow_nan=False)
    back = from_plain(json.loads(text))
    assert (back["rate"], back["limit"], back["low"][0]) == (0.1, math.inf, -math.inf)
    assert math.isnan(back["low"][1]["deep"])
    assert back["dtype"] == "torch.float32"


def test_a_digest_sees_every_bit() -> None:
    """Dtype, shape, order, absence and the sign of a zero all count."""
    one = torch.tensor([0.0, 1.0])
    others = [
        [one.double()], [one.reshape(1, 2)], [one, None], [-one], [one.flip(0)], [one.to(torch.bfloat16)], [],
    ]  # fmt: skip
    digests = [digest([one]), *map(digest, others)]
    assert len(set(digests)) == len(digests)
    assert digest([one]) == digest([one.clone()])
    assert digest([one.reshape(2, 1).T]) == digest([one.reshape(1, 2)])


def test_bits_tell_nans_apart() -> None:
    """A number as float32; a finite one beyond its range as float64."""
    plus, minus = (struct.unpack(">f", bytes.fromhex(text))[0] for text in ("7fc00000", "ffc00000"))
    assert (bits(plus), bits(minus)) == ("7fc00000", "ffc00000")
    assert bits(1e300) == struct.pack(">d", 1e300).hex()
