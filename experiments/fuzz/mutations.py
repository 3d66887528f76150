"""Small damages: to bytes, to lines, and to the values of nested data."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

ODD_TEXTS = (
    "", " ", "\x00", "\x1b[31mred\x1b[0m", "\u202eleft", "é" * 300, "../../../etc/passwd", "/dev/zero", "a/b",
    ".", "~", "${HOME}", "{0}", "%s", "nan", "-inf", "1e999", "null", "true", "<script>", "'\"`;$(reboot)",
    "\ud7ff\n\r",
    "postgresql://a:b@127.0.0.1:1/x", "sqlite:////dev/null", "!!python/name:os.system", "x" * 5000,
    "stabsearch", "0x1",
)  # fmt: skip
ODD_NUMBERS = (
    0, -1, 1, 2**31, 2**53, 2**64, -(2**63), 10**29, 0.0, -0.0, 1e-323, 1e308, float("inf"),
    float("nan"), 0.1,
)  # fmt: skip
ODD_VALUES = (None, True, False, [], {}, [[]], {"": None}, [None], {"a": {"b": {"c": []}}}, {"1": 2})
JSON_LINES = (
    b"", b"{}", b"[]", b"null", b"1", b'"x"', b"{", b"nonsense", b"\x00" * 64, b"\xff\xfe\x00",
    b'{"op_code": 99}',
    b'{"op_code": true, "worker_id": "w"}', b'{"op_code": 4, "worker_id": "w", "study_id": 7}',
    b'{"op_code": 8, "worker_id": "w", "trial_id": 99999, "user_attr": {"a": 1}}',
    b'{"op_code": 8, "worker_id": "w", "trial_id": 0, "user_attr": []}',
    b'{"op_code": 6, "worker_id": "w", "trial_id": 0, "state": 9, "values": null, "datetime_complete": "x"}',
    b'{"op_code": 1, "worker_id": "w", "study_id": 0}', b"[" * 5000, b'{"a":' * 3000, b'{"op_code": 1e999}',
)  # fmt: skip


def byte_damage(content: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one to four small damages."""
    for _ in range(rng.randint(1, 4)):
        content = rng.choice(_BYTES)(content, rng)
    return content


def line_damage(content: bytes, rng: random.Random) -> bytes:
    """Return a file of lines with one or two of them lost, repeated, exchanged, torn or foreign."""
    lines = content.splitlines(keepends=True)
    for _ in range(rng.randint(1, 2)):
        if not lines:
            break
        at = rng.randrange(len(lines))
        lines = rng.choice(_LINES)(lines, at, rng)
    return b"".join(lines)


def value_damage(data: Any, rng: random.Random) -> Any:
    """Return nested data with one to three values exchanged, lost, moved or repeated."""
    data = copy.deepcopy(data)
    for _ in range(rng.randint(1, 3)):
        holders = list(_holders(data))
        if not holders:
            return _odd(rng)
        _damage_one(rng.choice(holders), rng, holders)
    return data


def json_line_damage(content: bytes, rng: random.Random) -> bytes:
    """Return a file of JSON lines with the values of one line damaged; the line stays JSON."""
    lines = content.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    lines[at] = (json.dumps(value_damage(json.loads(lines[at]), rng)) + "\n").encode(errors="surrogatepass")
    return b"".join(lines)


def _odd(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(rng.choice((ODD_TEXTS, ODD_NUMBERS, ODD_VALUES))))


def _holders(data: Any) -> Any:
    """Yield every mapping and list that holds something."""
    if isinstance(data, dict | list) and data:
        yield data
        for item in data.values() if isinstance(data, dict) else data:
            yield from _holders(item)


def _damage_one(holder: Any, rng: random.Random, others: list[Any]) -> None:
    key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
    how = rng.randrange(6)
    if how == 0:
        del holder[key]
    elif how == 1:
        holder[key] = copy.deepcopy(rng.choice(others))
    elif how == 2 and isinstance(holder, dict):
        holder[rng.choice([*map(str, ODD_TEXTS), str(key)[:-1], f"{key}x", str(key).upper()])] = holder.pop(
            key
        )
    elif how == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = rng.choice(
            [-holder[key], holder[key] * 1000, str(holder[key]), [holder[key]], bool(holder[key])]
        )
    else:
        holder[key] = _odd(rng)


def _flip(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return b"\x00"
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _without(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.randint(1, 40) :]


def _with(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    more = rng.choice([rng.randbytes(rng.randint(1, 30)), *_TOKENS])
    return content[:at] + more + content[at:]


def _twice(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    part = content[start : start + rng.randint(1, 60)]
    at = rng.randrange(len(content) + 1)
    return content[:at] + part * rng.choice([1, 2, 50]) + content[at:]


_TOKENS = (
    b": ", b"- ", b"\t", b"\n", b"  ", b"{", b"}", b"[", b"]", b",", b"&a ", b"*a", b"<<: *a\n",
    b"!!python/name:os",
    b"|\n",
    b"'", b'"', b"\\", b"#", b"---\n", b"...\n", b"%YAML 1.1\n", b"? ", b"\r", b"\xef\xbb\xbf", b"\xff",
    b"\x85",
    b"!!set",
    b"null", b"1e5", b"0x", b".nan", b"[" * 200, b"- " * 200,
)  # fmt: skip
_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip,
    _cut,
    _without,
    _with,
    _twice,
    _with,
    _flip,
)


def _lost(lines: list[bytes], at: int, _: random.Random) -> list[bytes]:
    return lines[:at] + lines[at + 1 :]


def _repeated(lines: list[bytes], at: int, rng: random.Random) -> list[bytes]:
    to = rng.randrange(len(lines) + 1)
    return [*lines[:to], lines[at], *lines[to:]]


def _exchanged(lines: list[bytes], at: int, rng: random.Random) -> list[bytes]:
    to = rng.randrange(len(lines))
    lines[at], lines[to] = lines[to], lines[at]
    return lines


def _torn(lines: list[bytes], at: int, rng: random.Random) -> list[bytes]:
    lines[at] = lines[at][: rng.randrange(len(lines[at]))] + rng.choice([b"", b"\n"])
    return lines


def _foreign(lines: list[bytes], at: int, rng: random.Random) -> list[bytes]:
    return [*lines[:at], rng.choice(JSON_LINES) + b"\n", *lines[at:]]


def _shortened(lines: list[bytes], at: int, _: random.Random) -> list[bytes]:
    return lines[:at]


_LINES = (_lost, _repeated, _exchanged, _torn, _foreign, _shortened)
