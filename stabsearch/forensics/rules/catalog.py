"""All rules, and the page of the documentation that lists them."""

from __future__ import annotations

from stabsearch.forensics.rules.batch import BATCH
from stabsearch.forensics.rules.book import Rule
from stabsearch.forensics.rules.counted import COUNTED
from stabsearch.forensics.rules.environment import ENVIRONMENT
from stabsearch.forensics.rules.labels import LABELS
from stabsearch.forensics.rules.list_columns import LISTS
from stabsearch.forensics.rules.loss import LOSS
from stabsearch.forensics.rules.model import FORWARD, WEIGHTS
from stabsearch.forensics.rules.number_columns import NUMBERS
from stabsearch.forensics.rules.optimizer import OPTIMIZER
from stabsearch.forensics.rules.source import SOURCE
from stabsearch.forensics.rules.table import TABLE
from stabsearch.forensics.rules.tokens import TOKENS
from stabsearch.records.documented import markdown_table

TABLE_BOOKS = (TABLE, NUMBERS, LISTS)
"""Rules over the table that was read, before anything is made of it."""
BOOKS = (
    SOURCE, *TABLE_BOOKS, LABELS, COUNTED, TOKENS, BATCH, LOSS, WEIGHTS, FORWARD, OPTIMIZER, ENVIRONMENT,
)  # fmt: skip
GROUPS = {
    "D": "Data, labels and tokens",
    "L": "Loss against labels",
    "M": "Model, initialisation and precision",
    "O": "Optimizer",
    "E": "Environment",
}
HEAD = """# Rules of the preflight

`stabsearch check SWEEP` and every `stabsearch run` look for these before anything is spent. An **error**
certainly breaks the run, or silently trains the wrong thing, and stops the sweep; a **warning** often goes
wrong; an **info** is worth knowing. Some checks say less, or more, than is given here, depending on what they
see. An id is never given to another rule.

Generated from the rules by `make docs`.
"""
COLUMNS = ("id", "what", "severity", "cause", "what you see without the check", "the way out")


def all_rules() -> tuple[Rule, ...]:
    """Return every rule once, by id within D, L, M, O, E."""
    rules = {rule.id: rule for book in BOOKS for rule in book.rules}
    order = list(GROUPS)
    return tuple(sorted(rules.values(), key=lambda rule: (order.index(rule.id[5]), rule.id)))


def rules_page() -> str:
    """Return ``docs/rules.md``: one table per group of rules."""
    return HEAD + "".join(_section(letter, title) for letter, title in GROUPS.items())


def _section(letter: str, title: str) -> str:
    rules = [rule for rule in all_rules() if rule.id[5] == letter]
    return f"\n## {title}\n\n" + markdown_table(COLUMNS, map(_cells, rules))


def _cells(rule: Rule) -> tuple[str, ...]:
    return rule.id, rule.title, rule.severity.value, rule.cause.value, rule.symptom, rule.fix
