"""A sweep file as a validated sweep, or one error that names the line and the way out."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from stabsearch.config.document import MAX_BYTES, TOO_LONG, Document, NotYamlError, parse
from stabsearch.config.model import Sweep
from stabsearch.config.overrides import apply_overrides, parse_override
from stabsearch.config.paths import resolve_paths
from stabsearch.config.problems import misplaced_training_keys, problems_of
from stabsearch.config.source import Source
from stabsearch.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

STARTER_HINT = "`stabsearch init PATH` writes a commented sweep to start from"


@dataclass(frozen=True)
class LoadedSweep:
    """A sweep and where each of its keys was written."""

    sweep: Sweep
    source: Source


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> LoadedSweep:
    """Return the sweep of a file, input paths made absolute.

    Args:
        path: the file, as the user gave it: errors repeat it.
        overrides: ``key=value`` texts, as ``--set`` takes them; later ones win.

    Raises:
        UserError: anything wrong with the file or an override. Of several problems the first by
            line is told, with the number of the others.
    """
    loaded = load_as_written(path, overrides)
    try:
        return LoadedSweep(resolve_paths(loaded.sweep, path.parent), loaded.source)
    except UserError as error:
        raise loaded.source.error(error) from None
    except (OSError, ValueError) as error:  # a name that is too long, or holds a null byte
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UserError(f"{path}: a path in it is none: {why}", "correct the paths under task") from None


def load_as_written(path: Path, overrides: Sequence[str] = ()) -> LoadedSweep:
    """Return the sweep of a file with its paths as they stand there: they may be those of another machine.

    Raises:
        UserError: as of ``load_sweep``, but for paths.
    """
    document = read_document(path)
    given = tuple(parse_override(text) for text in overrides)
    data = apply_overrides(document.data, given)
    source = Source(str(path), document.root, given)
    return LoadedSweep(_validated(data, source), source)


def _validated(data: Any, source: Source) -> Sweep:
    problems = misplaced_training_keys(data)
    try:
        sweep = Sweep.model_validate(data)
    except ValidationError as error:
        problems += problems_of(error, data)
    if not problems:
        return sweep
    raise _first(problems, source) from None


def _first(problems: list[UserError], source: Source) -> UserError:
    first = min(problems, key=lambda problem: source.line(problem.key))
    others = len({problem.key for problem in problems}) - 1
    if others:
        more = f"({others} more problem{'s' if others > 1 else ''})"
        first = UserError(first.message, f"{first.hint} {more}", key=first.key)
    return source.error(first)


def read_document(path: Path) -> Document:
    """Return a file as a YAML mapping, not yet looked at as a sweep.

    Raises:
        UserError: it cannot be read, or is no mapping; with file and line.
    """
    try:
        document = parse(_text(path))
    except NotYamlError as error:
        marks = [str(mark) for mark in (error.line, error.column) if mark]
        raise UserError(f"{':'.join([str(path), *marks])}: {error.problem}", error.hint) from None
    if document.data is None:
        raise UserError(f"{path}: the file is empty", STARTER_HINT)
    if not isinstance(document.data, dict):
        kind = "list" if isinstance(document.data, list) else type(document.data).__name__
        raise UserError(
            f"{path}:1: a sweep is a mapping of keys, got a {_KINDS.get(kind, kind)}", STARTER_HINT
        )
    return document


_KINDS = {"str": "text", "int": "number", "float": "number", "bool": "true or false"}


def _text(path: Path) -> str:
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a sweep file", _sweep_inside(path))
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # a device or a dump of gigabytes is no sweep
        if len(content) > MAX_BYTES:
            raise NotYamlError(*TOO_LONG)
        return content.decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file", _near(path)) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})", "save the file as UTF-8") from None
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}", "check the path and its rights"
        ) from None


def _near(path: Path) -> str:
    folder = path.parent
    names = [other.name for other in folder.iterdir()] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {str(folder / near[0])!r}?" if near else STARTER_HINT


def _sweep_inside(folder: Path) -> str:
    inside = sorted(folder.glob("*.y*ml"))
    return f"did you mean {str(inside[0])!r}?" if inside else STARTER_HINT
