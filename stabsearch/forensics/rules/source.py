"""Rules about whether there are rows at all."""

from __future__ import annotations

from stabsearch.forensics.facts.training_rows import SourceFacts
from stabsearch.forensics.finding import Severity
from stabsearch.forensics.rules.book import RuleBook, Seen
from stabsearch.records import Cause

SOURCE: RuleBook[SourceFacts] = RuleBook()
DATA = ("task", "data")


@SOURCE.rule(
    "STAB-D001", "the data set is empty", Severity.ERROR, Cause.DATA,
    symptom="`ValueError: num_samples should be a positive integer value, but got num_samples=0`",
    fix="check the file, the split, and the filters that rows go through",
    key=DATA,
)  # fmt: skip
def empty_data_set(facts: SourceFacts) -> Seen | None:
    """Nothing can be trained on no rows."""
    return Seen("the training data has no rows") if facts.num_rows == 0 else None


@SOURCE.rule(
    "STAB-D002", "rows that were not looked at", Severity.INFO, Cause.UNKNOWN,
    symptom="`TypeError: object of type 'IterableDataset' has no len()`",
    fix="give a data set with a length, such as a datasets.Dataset, to have all of it checked",
    key=DATA,
)  # fmt: skip
def not_looked_at(facts: SourceFacts) -> Seen | None:
    """A stream could be used up by reading it; rows that Python makes are read up to a limit."""
    if facts.num_rows is None:
        return Seen("the training data is a stream of unknown length: its rows were not looked at")
    if facts.num_read < facts.num_rows and not facts.problem:
        return Seen(f"only the first {facts.num_read:,} of {facts.num_rows:,} rows were looked at")
    return None


@SOURCE.rule(
    "STAB-D003", "a row that cannot be read", Severity.ERROR, Cause.DATA,
    symptom="an exception from inside the data loader: `KeyError`, `Caught TypeError in DataLoader worker`",
    fix="mend the data set's __getitem__ for this row: it has to give a mapping from column to value",
    key=DATA,
)  # fmt: skip
def unreadable_row(facts: SourceFacts) -> Seen | None:
    """The data loader would stumble over it, at some step of some epoch."""
    if facts.bad_row is None:
        return None
    return Seen(f"row {facts.bad_row} cannot be read: {facts.problem}", (facts.bad_row,), 1)


@SOURCE.rule(
    "STAB-D004", "fewer rows than a batch", Severity.WARNING, Cause.DATA,
    symptom="`There seems not to be a single sample in your epoch_iterator, stopping training at step 0!`",
    fix="lower per_device_train_batch_size, or add rows",
    key=DATA,
)  # fmt: skip
def fewer_rows_than_a_batch(facts: SourceFacts) -> Seen | None:
    """With the last batch dropped, not a single one is left."""
    rows, run = facts.num_rows, facts.run
    if not rows or rows >= run.batch_size:
        return None
    severity = Severity.ERROR if run.drops_last else None
    gone = ", and dataloader_drop_last leaves out the only batch" if run.drops_last else ""
    return Seen(f"{rows} rows are fewer than a batch of {run.batch_size}{gone}", severity=severity)
