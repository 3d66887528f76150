"""JSON files of others: as they are, or one line on why not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stabsearch.records.plain_json import MAX_DEPTH, parse_json, read_json


def test_plain_json_is_read(tmp_path: Path) -> None:
    """Whatever it holds, at any allowed depth."""
    (tmp_path / "a.json").write_text('{"a": [1, null, "x"]}')
    assert read_json(tmp_path / "a.json") == {"a": [1, None, "x"]}
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None


@pytest.mark.parametrize(
    "text", ["[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), '{"a":' * 200_000, "[" * 1000]
)
def test_deep_json_is_refused_however_deep(text: str) -> None:
    """Below Python's own limit, where whatever walks over it would fail, and above it."""
    with pytest.raises(ValueError, match=r"nested more than 64 levels deep|Expecting value"):
        parse_json(text)


def test_a_large_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    """A hole of a terabyte has no room in memory."""
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        read_json(tmp_path / "a.json", max_bytes=1 << 20)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Nobody may ever write to it."""
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(OSError, match="not a plain file"):
        read_json(tmp_path / "a.json")
