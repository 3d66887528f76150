"""Rules about the table that was read: what can be said before anything is tokenised."""

from __future__ import annotations

import numpy as np

from stabsearch.forensics.facts.table import TableFacts
from stabsearch.forensics.finding import Severity
from stabsearch.forensics.rules.book import RuleBook, Seen, seen_in
from stabsearch.forensics.rules.labels import LABELS
from stabsearch.forensics.rules.tokens import TOKENS
from stabsearch.records import Cause

TABLE: RuleBook[TableFacts] = RuleBook()
LABEL = ("task", "label")
NEVER_EMPTY = {"text", "source", "target"}
"""Keys of columns that something is made of, or learned from, row by row."""


@TABLE.enter(LABELS["STAB-D006"])
def repeated_column(facts: TableFacts) -> Seen | None:
    """Readers of tables number the second one, silently."""
    if not facts.repeated:
        return None
    return Seen(f"column {facts.repeated[0]!r} stands more than once in the file; the first is used")


@TABLE.rule(
    "STAB-D008", "rows without a value in the text column", Severity.ERROR, Cause.DATA,
    symptom="`ValueError: text input must be of type str`, or a text that reads `nan` or `None`",
    fix="drop these rows, or give them a text",
    key=("task", "text"),
)  # fmt: skip
def missing_texts(facts: TableFacts) -> Seen | None:
    """A missing text is not the word None."""
    for text in facts.texts:
        if text.missing_N.any():
            message = f"text column {text.name!r} is missing in {{num}} of {{of}} rows"
            return seen_in(text.missing_N, message, key=("task", text.key))
    return None


@TABLE.rule(
    "STAB-D044", "a text that is no text", Severity.ERROR, Cause.DATA,
    symptom="`TypeError: TextEncodeInput must be Union[TextInputSequence, Tuple[InputSequence, ...]]`",
    fix="name a column of texts; a number meant as one has to stand in quotes",
    key=("task", "text"),
)  # fmt: skip
def other_texts(facts: TableFacts) -> Seen | None:
    """Numbers, truth values and lists among the texts: nobody wants to train on ``['a', 'b']``."""
    for text in facts.texts:
        if text.other_N.any():
            message = (
                f"text column {text.name!r} holds no text in {{num}} of {{of}} rows, such as {text.other}"
            )
            return seen_in(text.other_N, message, key=("task", text.key))
    return None


@TABLE.enter(TOKENS["STAB-D009"])
def empty_texts(facts: TableFacts) -> Seen | None:
    """Special tokens are all that is left of them. Prompts and second texts of a pair may be empty."""
    empty = [text for text in facts.texts if text.key in NEVER_EMPTY and text.empty_N.any()]
    if not empty:
        return None
    message = f"text column {empty[0].name!r} is empty in {{num}} of {{of}} rows"
    return seen_in(empty[0].empty_N, message, key=("task", empty[0].key))


@TABLE.enter(LABELS["STAB-D007"])
def missing_labels(facts: TableFacts) -> Seen | None:
    """An empty cell is no class."""
    if not facts.missing_N.any():
        return None
    return seen_in(facts.missing_N, f"label column {facts.label!r} is empty in {{num}} of {{of}} rows")


@TABLE.rule(
    "STAB-D014", "labels that are no classes", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="`ValueError: invalid literal for int()`, or as many classes as there are different numbers",
    fix="this task needs one class per row: integers from 0, or names",
    key=LABEL,
)  # fmt: skip
def fractions(facts: TableFacts) -> Seen | None:
    """Fractions and infinity; scores are for a regression."""
    if facts.odd_N.any():
        return seen_in(
            facts.odd_N,
            f"label column {facts.label!r} holds neither a name nor a number in {{num}} of {{of}} rows, "
            f"such as {facts.odd}",
        )
    if facts.numbers_N is None:
        return None
    with np.errstate(invalid="ignore"):
        odd = ~facts.missing_N & ~(facts.numbers_N == np.floor(facts.numbers_N))
        odd |= ~facts.missing_N & ~np.isfinite(facts.numbers_N)
    if not odd.any():
        return None
    example = facts.numbers_N[odd][0]
    return seen_in(
        odd,
        f"label column {facts.label!r} holds values that are no class in {{num}} rows, such as {example:g}",
    )


def _range(facts: TableFacts) -> tuple[int, int] | None:
    """Return the smallest and largest id of a column of whole numbers."""
    if facts.numbers_N is None or fractions(facts) is not None:
        return None
    present = facts.numbers_N[~facts.missing_N]
    return int(present.min()), int(present.max())


@TABLE.enter(LABELS["STAB-D011"])
def negative_ids(facts: TableFacts) -> Seen | None:
    """Ids count from 0."""
    ids = _range(facts)
    if ids is None or ids[0] >= 0 or ids[0] == ids[1] or facts.numbers_N is None:
        return None
    below = ~facts.missing_N & (facts.numbers_N < 0)
    text = f"label column {facts.label!r} holds ids {ids[0]} to {ids[1]}, below 0 in {{num}} of {{of}} rows"
    return seen_in(below, text, fix="remove or relabel the negative rows")


@TABLE.enter(LABELS["STAB-D013"])
def ids_from_one(facts: TableFacts) -> Seen | None:
    """The smallest id of a column has to be 0."""
    ids = _range(facts)
    if ids is None or ids[0] <= 0 or ids[0] == ids[1]:
        return None
    return Seen(
        f"label column {facts.label!r} holds ids {ids[0]} to {ids[1]}; class ids count from 0",
        fix=f"subtract {ids[0]} from every label",
    )


@TABLE.enter(LABELS["STAB-D010"])
def one_class(facts: TableFacts) -> Seen | None:
    """There is nothing to tell apart."""
    if facts.num_names != 1:
        return None
    return Seen(f"label column {facts.label!r} holds one class only: {facts.example}")


@TABLE.rule(
    "STAB-D045", "numbers among names", Severity.WARNING, Cause.DATA,
    symptom="one class too many, which nobody knows: `0` beside `positive` and `negative`",
    fix="look at these rows: columns that slipped, or files with two kinds of labels",
    key=LABEL,
)  # fmt: skip
def numbers_among_names(facts: TableFacts) -> Seen | None:
    """A column of names takes numbers for names, too."""
    if not facts.digits_N.any() or facts.odd_N.any():
        return None
    text = f"label column {facts.label!r} holds names, and a number in {{num}} of {{of}} rows"
    return seen_in(facts.digits_N, f"{text}, such as {facts.digits}")
