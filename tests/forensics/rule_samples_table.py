"""Rules about label columns of the table: a sample that breaks each, and one that does not."""

from __future__ import annotations

from typing import Any

import pandas as pd
from preflight_samples import Look

from stabsearch.forensics.finding import Finding
from stabsearch.forensics.preflight import look_at_table
from stabsearch.task.rows import LabelKind, TaskTable


def looked(kind: LabelKind, labels: dict[str, list[Any]], texts: list[Any] | None = None) -> list[Finding]:
    """Return what the rules say of a table with these label columns."""
    num_rows = len(next(iter(labels.values())))
    columns = {"text": texts or [f"text {row}" for row in range(num_rows)], **labels}
    return look_at_table(TaskTable(pd.DataFrame(columns), {"text": "text"}, tuple(labels), kind))


def numbers(*values: Any) -> list[Finding]:
    """Return what is said of a regression on these targets."""
    return looked("numbers", {"y": list(values)})


def several(**columns: list[Any]) -> list[Finding]:
    """Return what is said of a regression on several targets."""
    return looked("numbers", columns)


def sets(*values: Any) -> list[Finding]:
    """Return what is said of lists of labels."""
    return looked("lists", {"y": list(values)})


def marks(**columns: list[Any]) -> list[Finding]:
    """Return what is said of a column of 0 and 1 per label."""
    return looked("lists", columns)


WORDS = [["a", "good", "plot"], ["bad"], ["good", "film"]]
TAGS = [["O", "P", "O"], ["N"], ["P", "O"]]


def tagged(tags: list[Any] = TAGS, words: list[Any] = WORDS) -> list[Finding]:
    """Return what is said of rows of words with a class each."""
    return looked("token-classes", {"y": tags}, words)


def classes(labels: list[Any], texts: list[Any] | None = None) -> list[Finding]:
    """Return what is said of a class per row."""
    return looked("classes", {"y": labels}, texts)


SAMPLES: dict[str, tuple[Look, Look]] = {
    "STAB-D025": (lambda: numbers("1", "good", "3"), lambda: numbers("1", "-2e1", " 3 ")),
    "STAB-D026": (lambda: numbers(2, 2.0, 2), lambda: numbers(2, 2.5, 2)),
    "STAB-D027": (lambda: numbers(1990, 2005, 2012), lambda: numbers(90, 105, 95)),
    "STAB-D028": (lambda: sets([0, 1], [1, 0], [1]), lambda: sets([0, 1], [1, 0], [1, 1])),
    "STAB-D029": (lambda: sets([0, 0, 2], [1, 0, 0]), lambda: sets([0, 2], [1])),
    "STAB-D043": (lambda: sets(["a"], "b, c", []), lambda: sets(["a"], '["b", "c"]', [])),
    "STAB-D044": (lambda: classes([0, 1], ["a", 7]), lambda: classes([0, 1], ["a", "7"])),
    "STAB-D045": (lambda: classes(["good", "bad", "0"]), lambda: classes(["2", "1", "0"])),
}
