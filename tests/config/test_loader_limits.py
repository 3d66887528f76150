"""A sweep file that is too long, too deep, or a few lines that stand for millions: two lines, at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from stabsearch.config.document import MAX_BYTES, MAX_DEPTH, MAX_DIGITS, MAX_VALUES, NotYamlError, parse
from stabsearch.config.load import load_sweep
from stabsearch.config.overrides import parse_override
from stabsearch.config.write import difference
from stabsearch.errors import UserError


def chained(line: str, count: int) -> str:
    """Return anchors that each use the one before."""
    lines = [line.format(here=i, before=i - 1) for i in range(1, count)]
    return "\n".join(["a0: &a0 {x: 1}", *lines])


LAUGHS = chained("a{here}: &a{here} [*a{before}, *a{before}, *a{before}, *a{before}, *a{before}]", 40)
MERGED = chained("a{here}: &a{here} {{<<: [*a{before}, *a{before}]}}", 31)
LADDER = chained("a{here}: &a{here} {{x: *a{before}}}", 3000)
TOO_MUCH = {
    "billion laughs": (LAUGHS, f"more than {MAX_VALUES:,} values, aliases written out"),
    "merge keys that double": (MERGED, f"more than {MAX_VALUES:,} values, aliases written out"),
    "aliases that nest": (LADDER, f"nested more than {MAX_DEPTH} levels deep"),
    "brackets": ("[" * 100_000, f"nested more than {MAX_DEPTH} levels deep"),
    "dashes": ("- " * 100_000, f"nested more than {MAX_DEPTH} levels deep"),
    "keys of keys": ("? " * 1000, f"nested more than {MAX_DEPTH} levels deep"),
    "values": (f"[{'1,' * (MAX_VALUES + 1)}]", f"more than {MAX_VALUES:,} values"),
    "digits": (f"seed: {'9' * 5000}", f"is not a whole number of at most {MAX_DIGITS} digits"),
    "hexadecimal digits": (f"seed: 0x{'f' * 5000}", f"is not a whole number of at most {MAX_DIGITS} digits"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_is_too_much_is_refused_where_it_stands(tmp_path: Path, name: str) -> None:
    """File and line first, one line each: what is wrong, and what to do."""
    text, words = TOO_MUCH[name]
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_sweep(path)
    first, second = str(caught.value).split("\n")
    assert first.startswith(f"{path}:")
    assert words in first
    assert len(first) < 300
    assert second.strip()


def test_a_file_of_gigabytes_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A hole of a terabyte would not fit into memory; no more than the limit is ever read."""
    path = tmp_path / "sweep.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="longer than 1 MiB"):
        load_sweep(path)


def test_a_device_without_an_end_is_not_read_to_its_end() -> None:
    """/dev/zero has no length to ask for beforehand."""
    with pytest.raises(UserError, match="/dev/zero: longer than 1 MiB"):
        load_sweep(Path("/dev/zero"))


def test_what_is_just_allowed_is_read() -> None:
    """The limits are what they say: one less is a document."""
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse(deep).data == _nested(MAX_DEPTH)
    with pytest.raises(NotYamlError, match="nested more"):
        parse(f"[{deep}]")
    assert len(parse(f"[{'1,' * (MAX_VALUES - 1)}]").data) == MAX_VALUES - 1
    assert parse("1" * MAX_DIGITS).data == int("1" * MAX_DIGITS)
    assert parse("-" + "1" * MAX_DIGITS).data == -int("1" * MAX_DIGITS)
    assert parse("#" * (MAX_BYTES - 1)).data is None


def _nested(depth: int) -> list[object]:
    found: list[object] = []
    for _ in range(depth - 1):
        found = [found]
    return found


def test_an_alias_used_often_is_no_bomb() -> None:
    """A thousand uses of a small part are a thousand small parts."""
    data = parse(f"a: &a {{x: 1}}\nb: [{'*a,' * 1000}]").data
    assert data["b"] == [{"x": 1}] * 1000


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "!!python/object/new:os._exit [1]",
        "a: !!binary aGk=",
        "!!set {a}",
    ],
)
def test_no_tag_makes_an_object(text: str) -> None:
    """Nothing but what JSON has comes out of a sweep file."""
    with pytest.raises(NotYamlError, match="could not determine a constructor for the tag"):
        parse(text)


def test_a_value_of_an_override_has_the_same_limits() -> None:
    """``--set`` is YAML, too."""
    with pytest.raises(UserError, match=r"--set .*nested more than"):
        parse_override(f"a={'[' * 100}")


BASE = (
    "name: a\ntask: {type: quickstart}\n"
    "search: {learning_rate: {low: 1.0e-4, high: 1.0}, warmup: [0], precision: [fp32]}\n"
)


def test_a_key_that_is_named_as_a_whole_part_is_refused(tmp_path: Path) -> None:
    """Found by the fuzzer: ``task`` in the wrong place was a traceback."""
    path = tmp_path / "sweep.yaml"
    path.write_text(f"{BASE}training: {{max_steps: 9}}\nbudget: {{task: 1}}\n")
    with pytest.raises(UserError, match="unknown key 'task'"):
        load_sweep(path)


def test_a_setting_that_is_no_number_is_the_same_sweep_again(tmp_path: Path) -> None:
    """Found by the fuzzer: NaN differs from itself, and a sweep with one could not be resumed."""
    path = tmp_path / "sweep.yaml"
    path.write_text(f"{BASE}training: {{max_steps: 9, weight_decay: .nan}}\n")
    assert difference(load_sweep(path).sweep, load_sweep(path).sweep) == []


@pytest.mark.parametrize("name", ["x" * 5000, "a\\0b"])
def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    """Found by the fuzzer: the operating system's own error was a traceback."""
    path = tmp_path / "sweep.yaml"
    task = f'task: {{type: trainer, factory: "own:make", folder: "{name}"}}'
    path.write_text(f"{BASE}training: {{max_steps: 9}}\n".replace("task: {type: quickstart}", task))
    with pytest.raises(UserError, match="a path in it is none"):
        load_sweep(path)
