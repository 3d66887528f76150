"""docs/hyperparameters.md is the table of hyperparameters."""

from __future__ import annotations

from pathlib import Path

from stabsearch.config.searchable import searchable_page
from stabsearch.records.hyperparameters import HYPERPARAMETERS

PAGE = Path(__file__).parent.parent.parent / "docs" / "hyperparameters.md"


def test_the_page_is_what_the_table_gives() -> None:
    """`make docs`, unedited."""
    assert PAGE.read_text(encoding="utf-8") == searchable_page()


def test_every_hyperparameter_has_a_row_of_whole_cells() -> None:
    """None of them breaks the table."""
    rows = [line for line in searchable_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(HYPERPARAMETERS)
    assert {row.count(" | ") for row in rows} == {7}
    assert all(f"`{name}`" in row for name, row in zip(HYPERPARAMETERS, rows, strict=True))
