"""docs/cli.md says what the program says."""

from __future__ import annotations

import re

from typer.main import get_command

from stabsearch.cli.app import app
from stabsearch.cli.reference import cli_page
from stabsearch.errors import ExitCode

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def section(name: str) -> str:
    (found,) = re.findall(rf"^## stabsearch {name}\n(.*?)(?=^## |\Z)", cli_page(), re.MULTILINE | re.DOTALL)
    return str(found)


def test_every_command_has_a_section_with_every_option_and_its_help() -> None:
    for name, command in COMMANDS.items():
        text = section(name).replace("\\", "")
        assert command.help in text
        for parameter in command.params:
            assert parameter.help in text
            if parameter.param_type_name == "option":
                assert all(f"`{option}`" in text for option in parameter.opts)


def test_what_a_parameter_holds_and_its_default_stand_beside_it() -> None:
    gate = section("gate")
    assert "stabsearch gate CONFIG... [OPTIONS]" in gate
    assert "| `CONFIG...` | path | required |" in gate
    assert "| `--frontier` | `WHERE` | required |" in gate
    assert "| `--format` | `text` `json` `sarif` | `text` |" in gate
    assert "| `--rows` | whole number, 1 or above |  |" in gate
    assert "| `--json` |  |  |" in section("status")
    assert "stabsearch init [PATH]" in section("init")


def test_the_exit_codes_are_the_programs_own() -> None:
    codes = re.findall(r"^\| \*\*(\d+)\*\* \| \w", cli_page(), re.MULTILINE)
    assert codes == [str(code.value) for code in ExitCode]


def test_what_looks_like_a_tag_is_text() -> None:
    assert "\\<output_dir>/\\<name>" in section("status")
