"""Every command as a page of the docs, from the program itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from typer.main import get_command

from stabsearch.cli.app import app
from stabsearch.errors import ExitCode
from stabsearch.records.documented import markdown_table, texts_under_names

if TYPE_CHECKING:
    from typer.core import TyperCommand

HEAD = """\
# The command line

Generated from the program by `make docs`; `stabsearch COMMAND --help` says the same.

Results go to stdout, progress to stderr. With `--json` there is one JSON object on stdout, whose numbers
are finite or `null`. `NO_COLOR` is honoured; without a terminal there are plain lines. `stabsearch
--version` prints the version.

## Exit codes

The same for every command; an internal error is 2.

"""
KINDS: dict[Any, str] = {str: "text", float: "number", int: "whole number", Path: "path"}


def cli_page() -> str:
    """Return docs/cli.md: exit codes, then a section per command."""
    commands: dict[str, TyperCommand] = get_command(app).commands  # type: ignore[attr-defined]
    return HEAD + _exit_codes() + "".join(_section(name, command) for name, command in commands.items())


def _exit_codes() -> str:
    texts = texts_under_names(ExitCode)
    return markdown_table(("code", "means"), [(f"**{code.value}**", texts[code.name]) for code in ExitCode])


def _section(name: str, command: TyperCommand) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    words = [
        "stabsearch",
        name,
        *(_in_usage(each) for each in arguments),
        *(["[OPTIONS]"] if options else []),
    ]
    head = f"\n## stabsearch {name}\n\n```text\n{' '.join(words)}\n```\n\n{command.help}\n"
    return head + _parameters("argument", arguments) + _parameters("option", options)


def _in_usage(argument: Any) -> str:
    name = _metavar(argument)
    return name if argument.required else f"[{name}]"


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _parameters(kind: str, parameters: list[Any]) -> str:
    if not parameters:
        return ""
    return "\n" + markdown_table((kind, "holds", "default", "is"), [_row(each) for each in parameters])


def _row(parameter: Any) -> tuple[str, ...]:
    is_option = parameter.param_type_name == "option"
    names = parameter.opts if is_option else [_metavar(parameter)]
    return " ".join(f"`{name}`" for name in names), _holds(parameter), _default(parameter), parameter.help


def _holds(parameter: Any) -> str:
    """Return what may stand there; nothing for a switch."""
    kinds = [kind for kind in _within(parameter.type_descriptor.annotation) if kind is not type(None)]
    if kinds == [bool]:
        return ""
    if parameter.param_type_name == "option" and parameter.metavar:
        return f"`{parameter.metavar}`"
    least = "" if parameter.min is None else f", {parameter.min} or above"
    return (KINDS[kinds[0]] if kinds[0] in KINDS else " ".join(f"`{kind}`" for kind in kinds)) + least


def _within(annotation: Any) -> Iterable[Any]:
    """Return the values of a ``Literal``, or the types of a union or a list, else the type itself."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return [kind for each in get_args(annotation) for kind in _within(each)] or [annotation]


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    return f"`{parameter.default}`" if parameter.default else ""
