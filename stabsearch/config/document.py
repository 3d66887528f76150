"""YAML text as data and nodes, by the YAML 1.2 core schema: ``1e-5`` is a number, ``no`` is text."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

_NULL, _BOOL, _INT, _FLOAT, _MERGE = (
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "merge")
)
PLAIN_SCALARS = {
    _NULL: re.compile(r"(?:~|null|Null|NULL|)\Z"),
    _BOOL: re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"),
    _INT: re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"),
    _FLOAT: re.compile(
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    ),
}
"""What an unquoted scalar is read as (YAML 1.2.2, section 10.3.2); anything else is text."""
MAX_BYTES = 1 << 20  # chosen: a sweep with every key explained has 20 kB
MAX_DEPTH = 32  # chosen: a sweep has five levels, and a model's configuration inside of it a few more
MAX_VALUES = 50_000
"""Keys and values of a document, aliases written out. Chosen: a sweep has some hundred."""
MAX_DIGITS = 40  # chosen: 128 bits and a little more; Python refuses to print numbers of thousands


@dataclass(frozen=True)
class Document:
    """A YAML document twice: as nodes that know their lines, and as plain data."""

    root: yaml.Node | None
    """None: the text holds no document, only comments or nothing."""
    data: Any


class NotYamlError(Exception):
    """The text cannot be read as one YAML document.

    Args:
        problem: what was found, one line.
        hint: the way out, one line.
        line: 1-based line of the text, 0 when it is not known.
        column: 1-based column, 0 when it is not known.
    """

    def __init__(self, problem: str, hint: str, line: int = 0, column: int = 0) -> None:
        super().__init__(problem)
        self.problem, self.hint, self.line, self.column = problem, hint, line, column


def parse(text: str) -> Document:
    """Return the one document of a YAML text.

    Raises:
        NotYamlError: bad syntax, a key given twice, an alias inside itself, an unknown tag, or a document
            that is too long, too deep or too large once its aliases are written out.
    """
    if len(text) > MAX_BYTES:
        raise NotYamlError(*TOO_LONG)
    try:
        loader = _CoreLoader(text)
        root = loader.get_single_node()
        if root is None:
            return Document(None, None)
        _check_parts(root)
        return Document(root, loader.construct_document(root))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotYamlError(f"not YAML: character {chr(error.character)!r}", "remove it", line) from None
    except yaml.YAMLError as error:
        raise _not_yaml(error) from None


TOO_LONG = (f"longer than {MAX_BYTES >> 20} MiB", "a sweep is a page of settings: is it the right file?")
"""Problem and hint of a text that is not even looked at."""


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2 and no other types than JSON has, within limits."""

    yaml_implicit_resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._num_nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node, which is refused before what stands inside of it is read."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self._num_nodes += 1
        if self._num_nodes > MAX_VALUES:
            raise _too_large(mark)
        if self._depth == MAX_DEPTH:
            raise _too_deep(mark)
        self._depth += 1
        try:
            node: yaml.Node | None = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        return node


def _too_deep(mark: yaml.Mark) -> NotYamlError:
    problem = f"nested more than {MAX_DEPTH} levels deep"
    return NotYamlError(problem, "a sweep needs five levels", mark.line + 1, mark.column + 1)


def _too_large(mark: yaml.Mark) -> NotYamlError:
    problem = f"more than {MAX_VALUES:,} values, aliases written out"
    return NotYamlError(problem, "write what is needed, without aliases (*)", mark.line + 1, mark.column + 1)


def _scalar(convert: Callable[[str], Any], what: str) -> Callable[[_CoreLoader, yaml.ScalarNode], Any]:
    def construct(loader: _CoreLoader, node: yaml.ScalarNode) -> Any:
        try:
            return convert(str(loader.construct_scalar(node)))
        except (ValueError, KeyError):
            raise yaml.constructor.ConstructorError(
                None, None, f"{_short(node.value)!r} is not {what}", node.start_mark
            ) from None

    return construct


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _integer(text: str) -> int:
    if len(text.lstrip("+-")) > MAX_DIGITS:
        raise ValueError
    return int(text, 0 if text[:2] in {"0o", "0x"} else 10)


def _float(text: str) -> float:
    bare = text.lower().lstrip("+-")
    if bare == ".inf":
        return -math.inf if text.startswith("-") else math.inf
    return math.nan if bare == ".nan" else float(text)


for _tag, _pattern in PLAIN_SCALARS.items():
    _CoreLoader.add_implicit_resolver(_tag, _pattern, None)
_CoreLoader.add_implicit_resolver(_MERGE, re.compile(r"<<\Z"), ["<"])
for _kind in ("str", "seq", "map"):
    _tag = f"tag:yaml.org,2002:{_kind}"
    _CoreLoader.add_constructor(_tag, yaml.SafeLoader.yaml_constructors[_tag])
_CoreLoader.add_constructor(None, yaml.SafeLoader.yaml_constructors[None])
_CoreLoader.add_constructor(_NULL, _scalar(lambda text: None, "null"))
_CoreLoader.add_constructor(
    _BOOL, _scalar(lambda text: {"true": True, "false": False}[text.lower()], "true or false")
)
_CoreLoader.add_constructor(_INT, _scalar(_integer, f"a whole number of at most {MAX_DIGITS} digits"))
_CoreLoader.add_constructor(_FLOAT, _scalar(_float, "a number"))


class _Extent(NamedTuple):
    """How many values a node stands for and how deep they go, its aliases written out."""

    size: int = 1
    depth: int = 1


def _check_parts(root: yaml.Node) -> None:
    """Refuse keys given twice, aliases inside themselves, and a few lines that stand for millions."""
    _extent(root, frozenset(), {})


def _extent(node: yaml.Node, above: frozenset[int], known: dict[int, _Extent]) -> _Extent:
    """Return how far a node goes.

    Args:
        node: the node.
        above: those around it.
        known: what is known of nodes that were looked at before.
    """
    mark = node.start_mark
    if id(node) in above:
        raise NotYamlError(
            "an alias stands inside its own anchor", "remove it", mark.line + 1, mark.column + 1
        )
    if id(node) in known or not isinstance(node, yaml.CollectionNode):
        return known.get(id(node), _Extent())
    if isinstance(node, yaml.MappingNode):
        _refuse_repeats_here(node)
    parts = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
    inside = [_extent(part, above | {id(node)}, known) for part in parts]
    extent = _Extent(
        1 + sum(each.size for each in inside), 1 + max((each.depth for each in inside), default=0)
    )
    if extent.size > MAX_VALUES:
        raise _too_large(mark)
    if extent.depth > MAX_DEPTH:
        raise _too_deep(mark)
    known[id(node)] = extent
    return extent


def _refuse_repeats_here(node: yaml.MappingNode) -> None:
    first: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        name = (key.tag, key.value)
        line = key.start_mark.line + 1
        if name in first:
            problem = f"key {key.value!r} is given twice, on lines {first[name]} and {line}"
            hint = "YAML would silently take the last one: remove one of them"
            raise NotYamlError(problem, hint, line)
        first[name] = line


def _not_yaml(error: yaml.YAMLError) -> NotYamlError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or error).splitlines()[0].removeprefix("but ")
    place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return NotYamlError(f"not YAML: {problem}", _yaml_hint(problem), *place)


def _yaml_hint(problem: str) -> str:
    if "'\\t'" in problem:
        return "indent with spaces, not tabs"
    if "mapping values are not allowed" in problem:
        return "put each key on its own line, and quotes around a text that holds ': '"
    if "constructor for the tag" in problem:
        return "write plain values; a sweep has no tags (words with '!')"
    if "another document" in problem:
        return "keep one sweep per file: remove everything from '---' on"
    return "check the indentation, brackets and quotes of this line and the one above"
