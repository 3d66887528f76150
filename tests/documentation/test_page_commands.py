"""Commands that pages show are commands that exist, whether they are run or not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from command_lines import unknown_options
from markdown_pages import ROOT, Block, blocks, inline, pages
from shell_sessions import typed
from typer.main import get_command
from yaml_blocks import shell_lines

from stabsearch.cli.app import app

ALL_PAGES = [page for page in pages("*.md") if page != "CHANGELOG.md"]  # which names what was, too
BLOCKS = [block for page in ALL_PAGES for block in blocks(page)]
ENDS = {"|", "||", "&&", "&", ";", ">", ">>", "<", "2"}
OURS = re.compile(r"(?:experiments|docker|docs|stabsearch|tests)/[\w./-]+")
OUTPUTS = {"--out", ">"}
"""What stands after these need not be there yet."""


def shell_of(block: Block) -> str:
    """Return the shell's part of a block: without prompts and answers."""
    if block.language == "console":
        return "\n".join(each.command for each in typed(block.text))
    if block.language == "yaml":
        return shell_lines(block)
    return block.text if block.language in {"bash", "sh"} else ""


def words_of(text: str) -> list[list[str]]:
    """Return the simple commands of a shell text as words, without variables, pipes and redirections."""
    joined = text.replace("\\\n", " ")
    found: list[list[str]] = [[]]
    for line in joined.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for word in lexer:
            found[-1:] = [found[-1], []] if word in ENDS else [[*found[-1], word]]
        found.append([])
    return [_without_variables(words) for words in found if words]


def _without_variables(words: list[str]) -> list[str]:
    rest = words[1:] if words[0] == "export" else words
    while rest and re.match(r"[A-Z_]+=", rest[0]):
        rest = rest[1:]
    return rest


def _commands(block: Block) -> Iterator[list[str]]:
    """Return the calls of stabsearch in a block, also those inside of a container."""
    for words in words_of(shell_of(block)):
        for i, word in enumerate(words if words[:1] != ["pip"] else ()):
            if word.rpartition("/")[2] == "stabsearch" and not word.startswith("-"):
                yield words[i + 1 :]
                break


CALLS = [(block, call) for block in BLOCKS for call in _commands(block)]


@pytest.mark.parametrize(("block", "call"), CALLS, ids=lambda each: getattr(each, "place", None))
def test_a_command_in_a_block_is_one_that_the_program_would_take(block: Block, call: list[str]) -> None:
    """Unknown options, and arguments that are missing or too many, are refused as on the command line."""
    name, *arguments = call
    if name.startswith("--"):
        assert call in (["--version"], ["--help"])
        return
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    if arguments == ["--help"]:  # says what there is, and leaves
        return
    command.make_context(f"stabsearch {name}", arguments)


def test_there_are_commands_to_look_at() -> None:
    assert len({call[0] for _, call in CALLS}) > 5


@pytest.mark.parametrize("page", ALL_PAGES)
def test_a_command_in_a_sentence_has_options_that_exist(page: str) -> None:
    spans = [part.content for part in inline(page) if part.type == "code_inline"]
    for span in spans:
        words = re.sub(r"(?<=[\w\]|])\\?\|.*", "", span).split()
        if words[:1] == ["stabsearch"] and len(words) > 1 and words[1].islower():
            if words[1] in get_command(app).commands:  # type: ignore[attr-defined]
                assert not unknown_options([word.strip("[]") for word in words]), span
            else:
                assert words[1].startswith("--"), f"{page}: {span}"


@pytest.mark.parametrize("page", ALL_PAGES)
def test_make_targets_that_a_page_names_exist(page: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    spans = [part.content for part in inline(page) if part.type == "code_inline"]
    lines = [*spans, *(line for block in blocks(page) for line in shell_of(block).splitlines())]
    named = {found[1] for line in lines for found in re.finditer(r"\bmake ([\w-]+)", line)}
    assert named <= targets


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if shell_of(block)], ids=lambda block: block.place
)
def test_files_and_modules_that_a_block_names_are_there(block: Block) -> None:
    for words in words_of(shell_of(block)):
        for before, word in zip(["", *words], words, strict=False):
            if OURS.fullmatch(word) and before not in OUTPUTS and "file" not in block.notes:
                assert (ROOT / word).exists(), f"{block.place}: {word}"
            if before == "-m" and word.startswith(("experiments", "docs", "stabsearch")):
                assert find_spec(word), f"{block.place}: {word}"
