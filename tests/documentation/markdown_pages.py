"""The Markdown pages of the repository, taken apart: blocks and what is said of them, links, headings."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent.parent
NOTES = {"folder", "file", "given", "not run"}
"""What a comment ``<!-- name: value -->`` may say; ``folder`` of a page, the others of the next block."""


@dataclass(frozen=True)
class Block:
    """One fenced block of code."""

    page: str
    line: int
    """1-based, of the fence."""
    language: str
    text: str
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Return where it stands, as errors and test names say it."""
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        """True unless a comment says that it cannot be run here."""
        return "not run" not in self.notes


def pages(*patterns: str) -> list[str]:
    """Return the Markdown files that git knows or would add, by their paths in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in listed.split() if name.endswith(".md") and (ROOT / name).is_file())


@cache
def text_of(page: str) -> str:
    """Return the source of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def tokens(page: str) -> tuple[Token, ...]:
    """Return what a page is made of."""
    return tuple(MarkdownIt("commonmark").enable("table").parse(text_of(page)))


def notes_in(comment: str) -> dict[str, str]:
    """Return what a comment says to the tests; one that says nothing to them is empty."""
    found = re.findall(r"<!--\s*([a-z ]+):(.*?)-->", comment, flags=re.DOTALL)
    return {name: value.strip() for name, value in found}


def blocks(page: str) -> Iterator[Block]:
    """Return the fenced blocks of a page; the comments right above one are its notes."""
    notes: dict[str, str] = {}
    for token in tokens(page):
        if token.type == "html_block":
            notes |= notes_in(token.content)
        elif token.type == "fence" and token.map:
            yield Block(page, token.map[0] + 1, token.info.strip(), token.content, notes)
            notes = {}
        elif token.type != "list_item_open":
            notes = {}


def folder_of(page: str) -> str:
    """Return the name of the prepared folder that a page asks for, in its first line; empty: an empty one."""
    return notes_in(text_of(page).partition("\n")[0]).get("folder", "")


def comments(page: str) -> list[str]:
    """Return the names of all notes of a page."""
    found = (notes_in(token.content) for token in tokens(page) if token.type == "html_block")
    return [name for notes in found for name in notes]


def inline(page: str) -> Iterator[Token]:
    """Return what the text of a page is made of: words, links, pictures, code."""
    return (part for token in tokens(page) for part in token.children or ())


def links(page: str) -> list[str]:
    """Return where the links and pictures of a page lead."""
    found = (part.attrs.get("href", part.attrs.get("src")) for part in inline(page))
    return [str(target) for target in found if target]


def anchors(page: str) -> set[str]:
    """Return the anchors that a code host gives the headings of a page."""
    headings = (
        "".join(part.content for part in after.children or () if part.type in {"text", "code_inline"})
        for token, after in zip(tokens(page), tokens(page)[1:], strict=False)
        if token.type == "heading_open"
    )
    seen: Counter[str] = Counter()
    return {_numbered(slug(heading), seen) for heading in headings}


def slug(heading: str) -> str:
    """Return a heading as a code host makes an anchor of it.

    >>> slug("What you get, in `<output_dir>/<name>/`")
    'what-you-get-in-output_dirname'
    """
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _numbered(name: str, seen: Counter[str]) -> str:
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name] - 1}"
