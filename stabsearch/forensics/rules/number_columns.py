"""Rules about columns of numbers in the table: targets of a regression, or a 0 or 1 per label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stabsearch.forensics.facts.number_columns import NumberColumn
from stabsearch.forensics.facts.table import TableFacts
from stabsearch.forensics.finding import Severity
from stabsearch.forensics.rules.book import RuleBook, Seen, seen_in
from stabsearch.forensics.rules.labels import LABEL, LABELS, LARGE_TARGET, huge_sizes
from stabsearch.records import Cause
from stabsearch.task.list_columns import HOW_LISTS_COME

NUMBERS: RuleBook[TableFacts] = RuleBook()
LARGE_SCALE = 100.0  # chosen: the first loss is then 10,000, and clipping leaves the error nothing but a sign
SMALL_SPREAD = 1e-3  # chosen: the loss is then 1e-6 at most, and a log of four places shows 0.0


def _seen_in_columns(
    columns: Sequence[NumberColumn], mask: Callable[[NumberColumn], NDArray[np.bool_]], message: str
) -> Seen | None:
    """Return what was seen in the rows that a mask marks; the message goes on with the columns' names."""
    concerned = [column for column in columns if mask(column).any()]
    if not concerned:
        return None
    rows_N = np.any([mask(column) for column in concerned], axis=0)
    return seen_in(rows_N, f"{message} in {_named(concerned)}")


def _named(columns: Sequence[NumberColumn]) -> str:
    names = ", ".join(repr(column.name) for column in columns)
    return f"label column {names}" if len(columns) == 1 else f"label columns {names}"


@NUMBERS.enter(LABELS["STAB-D007"])
def missing_numbers(facts: TableFacts) -> Seen | None:
    """An empty cell is no number."""
    text = "{num} of {of} rows are empty"
    return _seen_in_columns((*facts.targets, *facts.marks), lambda column: column.missing_N, text)


@NUMBERS.rule(
    "STAB-D025", "a target that is no number", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="`ValueError: could not convert string to float: 'good'`",
    fix="write a number in every row; where the texts belong to classes, the task is sequence-classification",
    key=LABEL,
)  # fmt: skip
def no_number(facts: TableFacts) -> Seen | None:
    """Names, lists, and the text nan."""
    odd = next((column.odd for column in facts.targets if column.odd), "")
    text = f"{{num}} of {{of}} rows hold what is no number, such as {odd},"
    return _seen_in_columns(facts.targets, lambda column: column.odd_N, text)


@NUMBERS.enter(LABELS["STAB-D015"])
def infinite_number(facts: TableFacts) -> Seen | None:
    """Infinite as it stands, or once it is float32."""
    text = "{num} of {of} rows hold a number that is infinite, or too large for fp32,"
    return _seen_in_columns(facts.targets, lambda column: np.isinf(column.numbers_N), text)


@NUMBERS.enter(LABELS["STAB-D016"])
def huge_number(facts: TableFacts) -> Seen | None:
    """Said before anything is tokenised."""
    if not facts.targets:
        return None
    sizes = [np.nan_to_num(np.abs(column.numbers_N), nan=0, posinf=0) for column in facts.targets]
    return huge_sizes(np.max(sizes, axis=0))


@NUMBERS.rule(
    "STAB-D027", "targets of an unusual scale", Severity.WARNING, Cause.DATA,
    symptom="`'loss': 250731.0` and `'grad_norm'` of thousands in the first log line, or `'loss': 0.0`",
    fix="scale the targets to mean 0 and variance 1, and the predictions back",
    key=LABEL,
)  # fmt: skip
def unusual_scale(facts: TableFacts) -> Seen | None:
    """A new head says about 0: the first loss is the mean square of the targets. Huge ones have a rule."""
    for column in facts.targets:
        usual = column.finite[np.abs(column.finite) <= LARGE_TARGET]
        if not len(usual) or usual.min() == usual.max():
            continue
        mean, spread, first_loss = usual.mean(), usual.std(), float(np.square(usual).mean())
        of_column = f"{_named([column])} has mean {mean:.3g} and standard deviation {spread:.3g}"
        if first_loss > LARGE_SCALE**2:
            return Seen(f"{of_column}: the loss begins at about {first_loss:.3g}")
        if spread < SMALL_SPREAD:
            return Seen(f"{of_column}: the loss of always saying the mean is {spread**2:.2g}")
    return None


@NUMBERS.rule(
    "STAB-D026", "the same target in every row", Severity.ERROR, Cause.DATA,
    symptom="`'loss': 0.0` after a while, and the model says the same of everything",
    fix="nothing can be learned from one answer: check the label columns and the rows that were read",
    key=LABEL,
)  # fmt: skip
def same_number(facts: TableFacts) -> Seen | None:
    """One such column is enough among targets; among columns of 0 and 1 all have to be like this."""
    same = [column for column in facts.targets if _is_constant(column)]
    if same:
        return Seen(f"{_named(same[:1])} holds one number only: {same[0].finite[0]:g}")
    if facts.marks and all(map(_is_constant, facts.marks)):
        return Seen(f"all rows have the same labels in {_named(facts.marks)}")
    return None


def _is_constant(column: NumberColumn) -> bool:
    is_sound = 0 < len(column.finite) == np.count_nonzero(~column.missing_N)
    return is_sound and bool(column.finite.min() == column.finite.max())


@NUMBERS.enter(LABELS["STAB-D017"])
def neither_0_nor_1(facts: TableFacts) -> Seen | None:
    """Only 0 and 1 say whether a row has a label."""
    odd = next((column for column in facts.marks if _odd_marks(column).any()), None)
    if odd is None:
        return None
    shown = odd.odd or f"{odd.numbers_N[_odd_marks(odd)][0]:g}"
    text = f"{{num}} of {{of}} rows hold neither 0 nor 1, such as {shown},"
    seen = _seen_in_columns(facts.marks, _odd_marks, text)
    fix = "write 1 where a row has the label, 0 where it has not"
    return seen if seen is None else replace(seen, fix=f"{fix}; {HOW_LISTS_COME}" if odd.odd else fix)


def _odd_marks(column: NumberColumn) -> NDArray[np.bool_]:
    return np.asarray(~np.isin(column.numbers_N, (0, 1)) & ~column.missing_N)


@NUMBERS.enter(LABELS["STAB-D023"])
def labels_of_no_row(facts: TableFacts) -> Seen | None:
    """A column of zeros: the model has an output that is never to say yes."""
    never = [column for column in facts.marks if len(column.finite) and not column.finite.any()]
    if not never:
        return None
    return Seen(f"{len(never)} of {len(facts.marks)} labels are in no row: {_named(never)}")
