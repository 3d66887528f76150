"""Rules about columns of lists in the table: words with a class each, or the labels of a text."""

from __future__ import annotations

import numpy as np

from stabsearch.forensics.facts.list_columns import LabelLists, ListColumn
from stabsearch.forensics.facts.table import TableFacts
from stabsearch.forensics.finding import Severity
from stabsearch.forensics.rules.book import RuleBook, Seen, seen_in
from stabsearch.forensics.rules.counted import COUNTED
from stabsearch.forensics.rules.labels import LABEL, LABELS
from stabsearch.forensics.rules.number_columns import NUMBERS
from stabsearch.forensics.rules.table import TABLE
from stabsearch.forensics.rules.tokens import TOKENS
from stabsearch.records import Cause
from stabsearch.task.list_columns import HOW_LISTS_COME
from stabsearch.task.multi_label import COLUMNS_INSTEAD

LISTS: RuleBook[TableFacts] = RuleBook()
TEXT = ("task", "text")


def _labels(facts: TableFacts) -> LabelLists | None:
    return facts.tags or facts.sets


def _no_list(column: ListColumn | None, fix: str = "") -> Seen | None:
    if column is None or not column.no_list_N.any():
        return None
    text = f"column {column.name!r} holds no list in {{num}} of {{of}} rows, such as {column.no_list}"
    return seen_in(column.no_list_N, text, fix, key=("task", column.key))


@LISTS.rule(
    "STAB-D043", "rows that hold no list", Severity.ERROR, Cause.DATA,
    symptom="`TypeError: 'float' object is not iterable`, or a word and a label for each letter of a text",
    fix=HOW_LISTS_COME,
    key=LABEL,
)  # fmt: skip
def labels_are_no_lists(facts: TableFacts) -> Seen | None:
    """Of several labels also one column of 0 and 1 for each may have been meant."""
    return _no_list(_labels(facts), f"{HOW_LISTS_COME}{COLUMNS_INSTEAD}" if facts.sets else "")


@LISTS.enter(LISTS["STAB-D043"])
def words_are_no_lists(facts: TableFacts) -> Seen | None:
    """A text is not cut into words here: labels could not be told apart."""
    return _no_list(facts.words)


@LISTS.enter(TABLE["STAB-D008"])
def missing_words(facts: TableFacts) -> Seen | None:
    """A missing word is not the word None."""
    words = facts.words
    if words is None or not (words.absent_N | words.holes_N).any():
        return None
    text = f"column {words.name!r} has nothing, or a missing word, in {{num}} of {{of}} rows"
    return seen_in(words.absent_N | words.holes_N, text, "drop these rows, or give them all their words")


@LISTS.enter(TOKENS["STAB-D009"])
def rows_without_words(facts: TableFacts) -> Seen | None:
    """An error: there is nothing that could have a class."""
    words = facts.words
    empty_N = np.zeros(0, dtype=bool) if words is None else words.listed & (words.length_N == 0)
    if words is None or not empty_N.any():
        return None
    text = f"column {words.name!r} holds no word in {{num}} of {{of}} rows"
    return seen_in(empty_N, text, severity=Severity.ERROR)


@LISTS.enter(TABLE["STAB-D044"])
def other_words(facts: TableFacts) -> Seen | None:
    """Numbers among the words."""
    words = facts.words
    if words is None or not words.odd_N.any():
        return None
    text = (
        f"column {words.name!r} holds a word that is no text in {{num}} of {{of}} rows, such as {words.odd}"
    )
    return seen_in(words.odd_N, text, "write every word as a text: a number in quotes")


@LISTS.enter(COUNTED["STAB-D020"])
def labels_per_word(facts: TableFacts) -> Seen | None:
    """One too few, and every class after it belongs to another word."""
    words, tags = facts.words, facts.tags
    if words is None or tags is None:
        return None
    uneven_N = words.listed & tags.listed & (words.length_N != tags.length_N)
    if not uneven_N.any():
        return None
    first = int(np.argmax(uneven_N))
    counts = f"{tags.length_N[first]} labels for {words.length_N[first]} words"
    text = (
        f"label column {tags.name!r} has not one label per word in {{num}} of {{of}} rows, the first {counts}"
    )
    return seen_in(uneven_N, text, "give every word a label of its own, or drop such rows")


@LISTS.enter(LABELS["STAB-D007"])
def missing_entries(facts: TableFacts) -> Seen | None:
    """A row without any label has an empty list, a word without a class one of its own."""
    labels = _labels(facts)
    if labels is None or not (labels.absent_N | labels.holes_N).any():
        return None
    text = f"label column {labels.name!r} is empty, or has an empty entry, in {{num}} of {{of}} rows"
    fix = "[] is a row without any label; drop empty entries" if facts.sets else (
        "give every word a class; those that belong to none are often called O"
    )  # fmt: skip
    return seen_in(labels.absent_N | labels.holes_N, text, fix)


@LISTS.enter(TABLE["STAB-D014"])
def entries_that_are_no_labels(facts: TableFacts) -> Seen | None:
    """Fractions, or numbers among names."""
    labels = _labels(facts)
    if labels is None or not labels.odd_N.any():
        return None
    among = "names and, among them, something else" if labels.uses_names else "a value that is no label"
    text = f"label column {labels.name!r} holds {among} in {{num}} of {{of}} rows, such as {labels.odd}"
    return seen_in(labels.odd_N, text, "write all labels as names, or all as integers from 0")


@LISTS.enter(LABELS["STAB-D011"])
def ids_below_0(facts: TableFacts) -> Seen | None:
    """Also -100: tokens that the loss leaves out are found here, not given."""
    labels = _labels(facts)
    if labels is None or not labels.below_N.any():
        return None
    text = f"label column {labels.name!r} holds an id below 0 in {{num}} of {{of}} rows"
    return seen_in(labels.below_N, text, "count labels from 0, or write them as names")


@LISTS.rule(
    "STAB-D028", "label lists of different lengths", Severity.ERROR, Cause.DATA,
    symptom="`ValueError: Unable to create tensor, you should probably activate truncation and/or padding`",
    fix="write as many in every row; labels that are ids and no more than 0 and 1 need names",
    key=LABEL,
)  # fmt: skip
def uneven_vectors(facts: TableFacts) -> Seen | None:
    """A 0 or 1 for each label is a list of one length."""
    sets = facts.sets
    if sets is None or sets.uneven_N is None or not sets.uneven_N.any():
        return None
    text = f"label column {sets.name!r} holds {sets.length} zeros and ones in most rows, and more or fewer in"
    return seen_in(sets.uneven_N, f"{text} {{num}} of {{of}}")


@LISTS.rule(
    "STAB-D029", "a label twice in one row", Severity.ERROR, Cause.DATA,
    symptom="nothing: lists of zeros and ones with one wrong number among them are read as label ids",
    fix="write each label once, or a 0 or 1 per label and no other number",
    key=LABEL,
)  # fmt: skip
def repeated_ids(facts: TableFacts) -> Seen | None:
    """Of zeros and ones for each label, one wrong number makes ids."""
    sets = facts.sets
    if sets is None or sets.repeated_N is None or not sets.repeated_N.any():
        return None
    text = f"label column {sets.name!r} holds a label twice in {{num}} of {{of}} rows"
    return seen_in(sets.repeated_N, f"{text}; labels are 0 to {sets.num_labels - 1}")


@LISTS.enter(LABELS["STAB-D010"])
def one_class_of_words(facts: TableFacts) -> Seen | None:
    """There is nothing to tell apart."""
    tags = facts.tags
    if tags is None or len(tags.present) != 1:
        return None
    return Seen(f"label column {tags.name!r} holds one class only: {tags.present[0]!r}")


@LISTS.enter(NUMBERS["STAB-D026"])
def same_labels(facts: TableFacts) -> Seen | None:
    """Rows of which nothing could be read do not count."""
    sets = facts.sets
    if sets is None or sets.num_sets != 1 or (sets.odd_N | sets.below_N | sets.holes_N).any():
        return None
    return Seen(f"all rows have the same labels in label column {sets.name!r}")


@LISTS.enter(LABELS["STAB-D023"])
def labels_without_rows(facts: TableFacts) -> Seen | None:
    """A warning where most are like this: one large id makes a head of as many outputs."""
    labels = _labels(facts)
    num_gone = labels.num_labels - len(labels.present) if labels else 0
    if labels is None or not num_gone or not labels.present:
        return None
    text = f"{num_gone:,} of {labels.num_labels:,} labels are in no row of label column {labels.name!r}"
    return Seen(text, severity=Severity.WARNING if 2 * num_gone > labels.num_labels else None)
