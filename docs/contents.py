"""Which pages the documentation has, section by section: for the builder and for ``docs/README.md``."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
START = "README"
"""The first page; like all of them by its path in the repository, without the suffix."""
SECTIONS = {
    "Start": ("README", "docs/tutorial", "docs/reading-the-report"),
    "How to": (
        "docs/how-to/*", "docs/symptoms", "docs/gate", "docs/compare", "docs/drift", "docs/own_code",
        "docs/language-models", "docs/precision", "docs/distributed", "docs/cluster",
        "docs/containers", "docs/failures",
    ),
    "How it works": (
        "docs/method", "docs/forensics", "docs/scaling", "docs/security",
        "docs/architecture",
    ),
    "Reference": (
        "docs/cli", "docs/sweep", "docs/hyperparameters", "docs/outcomes", "docs/rules",
        "docs/python-api",
    ),
    "Experiments": (
        "experiments/README", "experiments/*/README", "experiments/*/*/README", "experiments/LOG",
    ),
    "Project": ("CONTRIBUTING", "CHANGELOG", "docs/README", "docker/README", "docker/kuberay/schema/README"),
}  # fmt: skip
"""Section -> its pages in order; a pattern stands for all pages that match it."""
INDEX_HEAD = """\
# Documentation

Generated from the pages by `make docs`, which also builds them as a site, `build/docs/index.html`, that
can be searched and works offline.
"""


def pages(section: str) -> list[str]:
    """Return the pages of a section that are there, each once."""
    found = [page for pattern in SECTIONS[section] for page in sorted(ROOT.glob(f"{pattern}.md"))]
    return list(dict.fromkeys(str(page.relative_to(ROOT).with_suffix("")) for page in found))


def toctrees() -> str:
    """Return the sections as directives for Sphinx, which makes the sidebar of them."""
    return "".join(_toctree(section, pages(section)) for section in SECTIONS)


def _toctree(section: str, names: list[str]) -> str:
    # a page cannot name itself by its path
    entries = "\n".join(f"{title(name)} <{'self' if name == START else f'/{name}'}>" for name in names)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {section}\n\n{entries}\n```\n"


def title(name: str) -> str:
    """Return the first heading of a page."""
    found = re.search(r"^# (.+)$", (ROOT / f"{name}.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, f"{name}.md has no heading"
    return found[1]


def index_page() -> str:
    """Return ``docs/README.md``: every page, by section."""
    return INDEX_HEAD + "".join(f"\n## {section}\n\n{_links(section)}" for section in SECTIONS)


def _links(section: str) -> str:
    names = [name for name in pages(section) if name != "docs/README"]
    return "".join(f"- [{title(name)}]({_from_docs(name)}.md)\n" for name in names)


def _from_docs(name: str) -> str:
    return name.removeprefix("docs/") if name.startswith("docs/") else f"../{name}"
