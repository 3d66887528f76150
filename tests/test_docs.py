"""What the documentation says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from docs.generated import PAGES
from stabsearch.cli.app import app
from stabsearch.config import Sweep
from stabsearch.config.document import parse

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_made_from_the_code_is_what_the_code_makes(name: str) -> None:
    """`make docs`, unedited."""
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == PAGES[name]()


def test_the_readme_names_every_command_and_no_other() -> None:
    """The command table is complete."""
    named = set(re.findall(r"^\| `stabsearch (\w+)", README, flags=re.MULTILINE))
    assert named == set(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda path: path.name)
def test_every_sweep_of_the_experiments_is_valid(path: Path) -> None:
    """The experiments run as they stand."""
    assert Sweep.model_validate(parse(path.read_text(encoding="utf-8")).data).name


def test_check_builds_the_documentation_with_warnings_as_errors() -> None:
    """From nothing, since what did not change is not warned of again."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^check:.* check-docs$", makefile, flags=re.MULTILINE)
    assert re.search(r"^check-docs:.*\n\t\$\(SPHINX\) -E -a ", makefile, flags=re.MULTILINE)
    assert re.search(r"^SPHINX := .* -n -W ", makefile, flags=re.MULTILINE)


def test_ci_runs_check_and_test() -> None:
    """CI calls exactly the two targets."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make (\w+)$", script, flags=re.MULTILINE) == ["check", "test"]


def test_pre_commit_configuration_is_yaml() -> None:
    """The hooks file can be read."""
    assert yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
