"""Every block of code in the documentation does what its page says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from givens import GIVENS
from markdown_pages import NOTES, Block, blocks, comments, folder_of, pages
from shell_sessions import run_script, run_session
from yaml_blocks import check_yaml

SWEEP = Path(__file__).with_name("quickstart.yaml")
DOCS = pages("README.md", "docs/*.md")
RUN_PAGES = [page for page in DOCS if any(blocks(page))]
NOTHING_TO_RUN = {"text", "{eval-rst}", "{toctree}", "math", "mermaid"}
"""Languages of output, drawings and directives; everything else has to be run, checked or excused."""


@pytest.fixture(scope="session")
def finished_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny sweep that has been run, and its file."""
    folder = tmp_path_factory.mktemp("quickstart")
    shutil.copy(SWEEP, folder / "sweep.yaml")
    done = run_script("stabsearch run sweep.yaml", folder)
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the folder that a page's code runs in, prepared as its first line says."""
    made = tmp_path / "page"
    name = folder_of(request.node.callspec.params["page"])
    if name:
        assert name == "quickstart", f"no folder {name!r} can be prepared"
        shutil.copytree(request.getfixturevalue("finished_sweep"), made)
    made.mkdir(exist_ok=True)
    return made


@pytest.mark.cli
@pytest.mark.parametrize("page", RUN_PAGES)
def test_the_blocks_of_a_page_run_from_its_top_to_its_end(
    page: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if "file" in block.notes:
            _write(folder / block.notes["file"], block.text)
        if block.is_run:
            _run(block, folder, names)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _run(block: Block, folder: Path, names: dict[str, Any]) -> None:
    if block.language == "python":
        _run_python(block, names)
    elif block.language == "console":
        run_session(block, folder)
    elif block.language in {"bash", "sh"}:
        done = run_script(f"set -e\n{block.text}", folder)
        assert done.returncode == 0, f"{block.place}\n{done.stdout}"
    elif block.language == "yaml":
        check_yaml(block, folder)
    elif block.language == "json":
        json.loads(block.text)
    else:
        is_known = block.language in NOTHING_TO_RUN or "file" in block.notes
        assert is_known, f"{block.place}: nobody runs {block.language or 'a block without a language'!r}"


def _run_python(block: Block, names: dict[str, Any]) -> None:
    for given in filter(None, block.notes.get("given", "").split(", ")):
        names[given] = GIVENS[given]()
    try:
        code = compile("\n" * block.line + block.text, block.page, "exec")
        exec(code, names)
    except Exception as error:
        raise AssertionError(f"{block.place}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("page", DOCS)
def test_comments_for_these_tests_have_names_that_they_know(page: str) -> None:
    assert set(comments(page)) <= NOTES


EXCUSED = [block for page in DOCS for block in blocks(page) if not block.is_run]


@pytest.mark.parametrize("block", EXCUSED, ids=lambda block: f"{block.place} {block.notes['not run']}")
def test_what_is_not_run_says_what_it_would_need(block: Block) -> None:
    """The names of these tests are the list of what is not run, and why."""
    assert block.notes["not run"].partition(" ")[0] in {"needs", "takes", "starts"}, block.place
    assert len(block.notes["not run"].split()) > 1, block.place
