"""The table of hyperparameters as a page of the docs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabsearch.config.write import in_yaml
from stabsearch.records.documented import markdown_table
from stabsearch.records.hyperparameters import HYPERPARAMETERS

if TYPE_CHECKING:
    from stabsearch.records.hyperparameters import Hyperparameter

HEAD = """\
# What can be searched

Generated from the table of hyperparameters by `make docs`.

A sweep always searches the learning rate, precisions, warmups and clip norms. Each of the others is either \
fixed, under its name in the section `training`, or searched, as a list of values under `search`; every \
combination of values is a context with a frontier of its own. What a trial really ran with is read back \
from its live Trainer; one that ran with another value is an error that names the argument, not a result.

"""
COLUMNS = (
    "hyperparameter", "`search.`", "legal values", "unit", "example", "Transformers' default",
    "how it takes effect", "label",
)  # fmt: skip


def searchable_page() -> str:
    """Return docs/hyperparameters.md."""
    return HEAD + markdown_table(COLUMNS, map(_cells, HYPERPARAMETERS.values()))


def _cells(row: Hyperparameter) -> tuple[str, ...]:
    low, high = row.examples[0], row.examples[-1]
    example = {"low": low, "high": high} if row.role == "intensity" else list(row.examples)
    return (
        f"`{row.name}`", f"`{row.key}`", row.allowed, row.unit, f"`{in_yaml(example)}`",
        f"`{in_yaml(row.usual)}`", row.takes_effect, row.label(row.usual),
    )  # fmt: skip
