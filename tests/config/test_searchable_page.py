"""docs/hyperparameters.md is the table of hyperparameters."""

from __future__ import annotations

from stabsearch.config.searchable import searchable_page
from stabsearch.records.hyperparameters import HYPERPARAMETERS


def test_every_hyperparameter_has_a_row_of_whole_cells() -> None:
    """None of them breaks the table."""
    rows = [line for line in searchable_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(HYPERPARAMETERS)
    assert {row.count(" | ") for row in rows} == {7}
    assert all(f"`{name}`" in row for name, row in zip(HYPERPARAMETERS, rows, strict=True))
