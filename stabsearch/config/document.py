"""YAML text as data and nodes, by the YAML 1.2 core schema: ``1e-5`` is a number, ``no`` is text."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

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
        NotYamlError: bad syntax, a key given twice, an alias inside itself, an unknown tag.
    """
    try:
        loader = _CoreLoader(text)
        root = loader.get_single_node()
        if root is None:
            return Document(None, None)
        _refuse_repeated_keys(root, ())
        return Document(root, loader.construct_document(root))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotYamlError(f"not YAML: character {chr(error.character)!r}", "remove it", line) from None
    except yaml.YAMLError as error:
        raise _not_yaml(error) from None
    except RecursionError:
        raise NotYamlError("nested too deeply", "a sweep needs five levels at most") from None


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2 and no other types than JSON has."""

    yaml_implicit_resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}


def _scalar(convert: Callable[[str], Any], what: str) -> Callable[[_CoreLoader, yaml.ScalarNode], Any]:
    def construct(loader: _CoreLoader, node: yaml.ScalarNode) -> Any:
        try:
            return convert(str(loader.construct_scalar(node)))
        except (ValueError, KeyError):
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value!r} is not {what}", node.start_mark
            ) from None

    return construct


def _integer(text: str) -> int:
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
_CoreLoader.add_constructor(_INT, _scalar(_integer, "a whole number"))
_CoreLoader.add_constructor(_FLOAT, _scalar(_float, "a number"))


def _refuse_repeated_keys(node: yaml.Node, above: tuple[int, ...], seen: set[int] | None = None) -> None:
    seen = set() if seen is None else seen
    if id(node) in above:
        mark = node.start_mark
        raise NotYamlError(
            "an alias stands inside its own anchor", "remove it", mark.line + 1, mark.column + 1
        )
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        _refuse_repeats_here(node)
    for child in node.value:
        for part in child if isinstance(child, tuple) else (child,):
            _refuse_repeated_keys(part, (*above, id(node)), seen)


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
