"""What takes pages apart and runs their sessions finds what is wrong in them."""

from __future__ import annotations

from pathlib import Path

import markdown_pages
import pytest
from markdown_pages import Block, anchors, blocks, folder_of, notes_in, slug
from shell_sessions import Typed, run_session, typed
from test_page_commands import words_of
from yaml_blocks import check_yaml

PAGE = """<!-- folder: quickstart -->
# A `page`, with a *heading*

<!-- not run: needs x -->
<!-- file: a.yaml -->
```yaml
name: a
```

Words.

```python
1
```

- item

  <!-- given: trainer -->
  ```python
  trainer
  ```

## Again
## Again
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(markdown_pages, "ROOT", tmp_path)
    markdown_pages.text_of.cache_clear()
    markdown_pages.tokens.cache_clear()
    return "page.md"


def session(text: str) -> Block:
    return Block("page.md", 1, "console", text)


def test_comments_belong_to_the_next_block_only(page: str) -> None:
    yaml, python, listed = blocks(page)
    assert yaml.notes == {"not run": "needs x", "file": "a.yaml"}
    assert (yaml.line, yaml.language, yaml.is_run) == (6, "yaml", False)
    assert python.notes == {}
    assert python.is_run
    assert (listed.notes, listed.text) == ({"given": "trainer"}, "trainer\n")
    assert folder_of(page) == "quickstart"


def test_headings_have_the_anchors_of_code_hosts(page: str) -> None:
    assert anchors(page) == {"a-page-with-a-heading", "again", "again-1"}
    assert slug("What you get, in `<output_dir>/`") == "what-you-get-in-output_dir"


def test_a_comment_for_people_is_no_note() -> None:
    assert notes_in("<!-- only words -->") == {}


def test_a_session_is_commands_with_their_answers() -> None:
    text = "$ echo a \\\n> b\na b\n$ ls\n"
    assert typed(text) == [Typed("echo a \\\nb", "a b\n"), Typed("ls", "")]


def test_an_answer_that_fits_passes(tmp_path: Path) -> None:
    run_session(
        session("$ echo one two; echo three\none ...\nthree\n$ cd /\n$ false\n$ echo $?\n1\n"), tmp_path
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$ echo one\ntwo\n", "Expected"),
        ("$ false\n", "exit code 1 of false"),
        ("$ false\n$ echo $?\n0\n", "Expected"),
        ("$ exit 0\n$ echo later\n", "ended early"),
        ("$ stabsearch fly\n", "exit code 2"),
    ],
)
def test_a_session_that_is_not_so_is_found_out(tmp_path: Path, text: str, said: str) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    with pytest.raises(AssertionError, match=said):
        run_session(session(text), folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("budget: {trails: 3}\n", "trails"),
        ("task: {type: fly}\n", "fly"),
        ("name: a\nbudget: {trials: 3}\n", "task"),
        ("micro_batch_size: 2\n", "what is it"),
        ("on: push\njobs: {a: {steps: []}}\n", "runs-on"),
    ],
)
def test_yaml_that_is_no_sweep_and_no_workflow_is_found_out(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises((AssertionError, ValueError), match=said):
        check_yaml(Block("page.md", 1, "yaml", text), tmp_path)


def test_a_part_of_a_sweep_is_put_into_a_whole_one(tmp_path: Path) -> None:
    check_yaml(Block("page.md", 1, "yaml", "budget: {trials: 3}\n"), tmp_path)
    check_yaml(Block("page.md", 1, "yaml", 'task: {type: trainer, factory: "a:b"}\n'), tmp_path)


def test_a_shell_line_is_its_simple_commands() -> None:
    text = "export A=b C=d\nA=b stabsearch run x \\\n  --json > out.json && ls 'a b' | cat\n"
    assert [words for words in words_of(text) if words] == [
        ["stabsearch", "run", "x", "--json"],
        ["out.json"],
        ["ls", "a b"],
        ["cat"],
    ]
