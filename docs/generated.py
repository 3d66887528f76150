"""The pages that are made from the code: ``python -m docs.generated`` writes them, a test compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from docs.contents import index_page
from stabsearch.cli.reference import cli_page
from stabsearch.config.searchable import searchable_page
from stabsearch.config.table import schema_page
from stabsearch.forensics.rules.catalog import rules_page
from stabsearch.records.outcomes_page import outcomes_page

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "sweep.md": schema_page,
    "hyperparameters.md": searchable_page,
    "outcomes.md": outcomes_page,
    "rules.md": rules_page,
    "README.md": index_page,
}
"""File in this folder -> what makes it."""


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        Path(__file__).with_name(name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
