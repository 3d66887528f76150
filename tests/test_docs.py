"""What the documentation says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from stabsearch.cli.app import app
from stabsearch.config import Sweep
from stabsearch.config.document import parse
from stabsearch.config.table import schema_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SWEEP_DOC = ROOT / "docs" / "sweep.md"
DOC_HEAD = """# sweep.yaml, every key

Generated from the models by `make docs`; the same text is in `stabsearch schema`.

"""


def test_the_key_reference_is_the_one_the_models_give() -> None:
    """docs/sweep.md is `make docs`, unedited."""
    assert SWEEP_DOC.read_text(encoding="utf-8") == DOC_HEAD + schema_table()


def test_the_readme_names_every_command_and_no_other() -> None:
    """The command table is complete."""
    named = set(re.findall(r"^\| `stabsearch (\w+)", README, flags=re.MULTILINE))
    assert named == set(get_command(app).commands)  # type: ignore[attr-defined]


def test_the_sweep_in_the_readme_is_valid() -> None:
    """Whoever copies it gets a sweep."""
    (block,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    sweep = Sweep.model_validate(parse(block).data)
    assert sweep.task.type == "sequence-classification"


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda path: path.name)
def test_every_sweep_of_the_experiments_is_valid(path: Path) -> None:
    """The experiments run as they stand."""
    assert Sweep.model_validate(parse(path.read_text(encoding="utf-8")).data).name


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("experiments/*.md")]
)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page is a file."""
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_make_targets_of_the_first_screen_exist() -> None:
    """`make demo` and `make test` are real."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_ci_runs_check_and_test() -> None:
    """CI calls exactly the two targets."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make (\w+)$", script, flags=re.MULTILINE) == ["check", "test"]


def test_pre_commit_configuration_is_yaml() -> None:
    """The hooks file can be read."""
    assert yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
