"""Rules about labels and targets, over all rows."""

from __future__ import annotations

import numpy as np

from stabsearch.forensics.facts.columns import Numbers
from stabsearch.forensics.facts.summary import ColumnSummary
from stabsearch.forensics.facts.target import LossKind
from stabsearch.forensics.facts.training_rows import TrainingRows
from stabsearch.forensics.finding import Severity
from stabsearch.forensics.rules.book import RuleBook, Seen, seen_in
from stabsearch.records import Cause

LABELS: RuleBook[TrainingRows] = RuleBook()
LABEL = ("task", "label")
IDS = (LossKind.CLASSES, LossKind.TOKENS, LossKind.CAUSAL, LossKind.MASKED, LossKind.SEQ2SEQ)
CLASSES = (LossKind.CLASSES, LossKind.TOKENS)
LARGEST_SQUARE = 1.8e19  # its square is the largest fp32 number, 3.4e38
LARGE_TARGET = 1e4  # chosen: a squared error of 1e8 drowns the gradient of every other row
ASSERT = (
    "`IndexError: Target 2 is out of bounds.` on a CPU, `CUDA error: device-side assert triggered` on a GPU"
)


def _out_of_place(labels: ColumnSummary, facts: TrainingRows) -> tuple[bool, int, int]:
    """Return whether labels count from 1, and the smallest and the largest that is not ignored."""
    counted = labels.is_filled & (labels.ignored_N < labels.length_N)
    if not counted.any():
        return False, 0, 0
    low, high = int(labels.least_N[counted].min()), int(labels.high_N[counted].max())
    is_shifted = facts.target.kind in CLASSES and low == 1 and high == facts.target.num_labels
    return is_shifted, low, high


def ids_of(facts: TrainingRows) -> ColumnSummary | None:
    """Return labels that are ids of classes or tokens; None where the loss takes other things."""
    labels = facts.labels_of(*IDS)
    return labels if labels is not None and labels.kind == "int" else None


@LABELS.rule(
    "STAB-D006", "a column that stands twice", Severity.WARNING, Cause.DATA,
    symptom="nothing: one of the two columns is used, perhaps not the one that is meant",
    fix="remove or rename one of them",
    key=("task", "data"),
)  # fmt: skip
def two_label_columns(facts: TrainingRows) -> Seen | None:
    """DataCollatorWithPadding takes ``label`` before ``labels``, others the other way round."""
    columns = facts.rows.columns
    if not facts.label or "label" not in columns or "labels" not in columns:
        return None
    one, other = columns["label"], columns["labels"]
    if (
        one.kind == other.kind
        and np.array_equal(one.low_N, other.low_N)
        and np.array_equal(one.high_N, other.high_N)
    ):
        return None
    return Seen("the rows hold both `label` and `labels`, and these differ")


@LABELS.rule(
    "STAB-D007", "rows without a label", Severity.ERROR, Cause.DATA,
    symptom="`ValueError: Unable to create tensor`, `TypeError: 'NoneType' object`, or `'loss': nan`",
    fix="drop these rows, or give them a label",
    key=LABEL,
)  # fmt: skip
def missing_labels(facts: TrainingRows) -> Seen | None:
    """A missing number becomes NaN on the way, or an exception in the collator."""
    labels = facts.labels
    if labels is None or facts.target.is_own_loss:
        return None
    gone = labels.missing_N | ((labels.nonfinite_N > 0) & (labels.kind != "float"))
    return seen_in(gone, "{num} of {of} labels are missing") if gone.any() else None


@LABELS.rule(
    "STAB-D010", "one class only", Severity.ERROR, Cause.DATA,
    symptom="`'loss': 0.0` after a few steps, accuracy 1.0, and the model says the same of everything",
    fix="nothing can be learned from one class: check the label column and the rows that were read",
    key=LABEL,
)  # fmt: skip
def one_class_only(facts: TrainingRows) -> Seen | None:
    """One row alone is somebody's smoke test, and no finding."""
    labels = facts.labels_of(*CLASSES)
    if labels is None or labels.kind != "int":
        return None
    counted = labels.is_filled & (labels.ignored_N < labels.length_N)
    low, high = labels.least_N[counted], labels.high_N[counted]
    if len(low) < 2 or facts.target.num_labels < 2 or low.min() != high.max():
        return None
    return Seen(
        f"all {len(low):,} labels are {int(low[0])}, and the model has {facts.target.num_labels} classes"
    )


@LABELS.rule(
    "STAB-D011", "a label below 0", Severity.ERROR, Cause.DATA,
    symptom="`IndexError: Target -1 is out of bounds.`, `CUDA error: device-side assert triggered`",
    fix="remove or relabel these rows; -100 is the only negative label, and means: leave it out",
    key=LABEL,
)  # fmt: skip
def negative_label(facts: TrainingRows) -> Seen | None:
    """Only the ignore index may be negative; label smoothing silently makes class 0 of the others."""
    labels = ids_of(facts)
    if labels is None:
        return None
    below = labels.is_filled & (labels.least_N < 0)
    lowest = int(labels.least_N[below].min()) if below.any() else 0
    return (
        seen_in(below, f"{{num}} of {{of}} rows hold a label below 0, down to {lowest}")
        if below.any()
        else None
    )


@LABELS.rule(
    "STAB-D012", "a label beyond the last class", Severity.ERROR, Cause.DATA,
    symptom=ASSERT,
    fix="give the model one output per class (num_labels), or correct the labels",
    key=LABEL,
)  # fmt: skip
def label_out_of_range(facts: TrainingRows) -> Seen | None:
    """Ids count from 0: with three classes the last one is 2."""
    labels = ids_of(facts)
    if labels is None or not facts.target.num_labels or _out_of_place(labels, facts)[0]:
        return None
    last = facts.target.num_labels - 1
    beyond = labels.is_filled & (labels.high_N > last)
    if not beyond.any():
        return None
    largest = int(labels.high_N[beyond].max())
    return seen_in(beyond, f"{{num}} of {{of}} rows hold a label beyond {last}, up to {largest}")


@LABELS.rule(
    "STAB-D013", "labels that count from 1", Severity.ERROR, Cause.DATA,
    symptom=ASSERT,
    fix="subtract 1 from every label",
    key=LABEL,
)  # fmt: skip
def counts_from_one(facts: TrainingRows) -> Seen | None:
    """Nothing is class 0, and the last class is one too many."""
    labels = ids_of(facts)
    if labels is None:
        return None
    is_shifted, low, high = _out_of_place(labels, facts)
    if not is_shifted:
        return None
    beyond = labels.is_filled & (labels.high_N >= high)
    return seen_in(
        beyond, f"labels are {low} to {high} for {high} classes: they count from 1, ids count from 0"
    )


@LABELS.rule(
    "STAB-D015", "a target that is NaN or infinite", Severity.ERROR, Cause.DATA,
    symptom="`'loss': 0.0, 'grad_norm': nan` from one step on; all weights are NaN",
    fix="drop these rows, or repair their targets",
    key=LABEL,
)  # fmt: skip
def nonfinite_target(facts: TrainingRows) -> Seen | None:
    """One such row turns every weight into NaN with its first update."""
    labels = facts.labels_of(LossKind.REGRESSION, LossKind.MULTI_LABEL)
    if labels is None or labels.kind != "float":
        return None
    bad = (labels.nonfinite_N > 0) & ~labels.missing_N
    return seen_in(bad, "{num} of {of} targets are NaN or infinite") if bad.any() else None


@LABELS.rule(
    "STAB-D016", "a target of a huge size", Severity.WARNING, Cause.DATA,
    symptom="`'loss': inf`, or a loss of many digits that never comes down; `'grad_norm'` far above 1",
    fix="scale the targets to unit variance, or take their logarithm; look for a missing-value code",
    key=LABEL,
)  # fmt: skip
def huge_target(facts: TrainingRows) -> Seen | None:
    """The squared error of 1e20 is infinite in fp32; that of 1e5 drowns everything else."""
    labels = facts.labels_of(LossKind.REGRESSION)
    if labels is None:
        return None
    size = np.nan_to_num(np.maximum(np.abs(labels.high_N), np.abs(labels.low_N)), nan=0.0, posinf=0.0)
    return huge_sizes(size)


def huge_sizes(size_N: Numbers) -> Seen | None:
    """Return which targets are huge.

    Args:
        size_N: largest absolute value of each row; 0 where it is no finite number.
    """
    huge_N = size_N > LARGE_TARGET
    if not huge_N.any():
        return None
    overflows = bool((size_N > LARGEST_SQUARE).any())
    text = f"{{num}} of {{of}} targets are beyond {LARGE_TARGET:g}, up to {size_N.max():.3g}"
    return seen_in(huge_N, text, severity=Severity.ERROR if overflows else None)


@LABELS.rule(
    "STAB-D017", "a multi-label target outside 0 to 1", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="the loss turns negative and falls without end: `'loss': -38.2`",
    fix="make every target 0 or 1 (or a probability)",
    key=LABEL,
)  # fmt: skip
def target_outside_unit(facts: TrainingRows) -> Seen | None:
    """Binary cross-entropy has no lower bound for them, and nothing complains."""
    labels = facts.labels_of(LossKind.MULTI_LABEL)
    if labels is None or not labels.is_list:
        return None
    with np.errstate(invalid="ignore"):
        outside = labels.is_filled & ((labels.low_N < 0) | (labels.high_N > 1)) & (labels.nonfinite_N == 0)
    if not outside.any():
        return None
    low, high = labels.low_N[outside].min(), labels.high_N[outside].max()
    return seen_in(outside, f"targets of {{num}} of {{of}} rows reach from {low:g} to {high:g}")


@LABELS.rule(
    "STAB-D023", "classes without rows", Severity.INFO, Cause.DATA,
    symptom="the model has outputs that are never right",
    fix="set num_labels to the number of classes, or check whether rows were lost",
    key=LABEL,
)  # fmt: skip
def classes_without_rows(facts: TrainingRows) -> Seen | None:
    """No fault: a small sample of many classes looks the same."""
    labels = facts.labels_of(LossKind.CLASSES)
    if labels is None or labels.kind != "int" or labels.is_list or facts.target.num_labels < 2:
        return None
    num_classes = facts.target.num_labels
    is_class = labels.is_filled & (labels.low_N >= 0) & (labels.low_N < num_classes)
    num_present = int((np.bincount(labels.low_N[is_class], minlength=num_classes) > 0).sum())
    if num_present < 2 or num_present == num_classes:
        return None
    return Seen(f"{num_classes - num_present} of {num_classes} classes have no row")


@LABELS.rule(
    "STAB-D024", "the same tokens with different labels", Severity.INFO, Cause.DATA,
    symptom="a loss that stops falling far above 0, however long it trains",
    fix="decide on one label per text, or accept the noise",
    key=LABEL,
)  # fmt: skip
def contradicting_rows(facts: TrainingRows) -> Seen | None:
    """Label noise is no fault; a lot of it deserves a look."""
    labels, crossed = facts.labels_of(LossKind.CLASSES), facts.rows.crossed
    if labels is None or crossed is None or labels.is_list or labels.kind != "int":
        return None
    order = np.lexsort((labels.low_N, crossed.fingerprint_N))
    prints, ids = crossed.fingerprint_N[order], labels.low_N[order]
    differs = (prints[1:] == prints[:-1]) & (ids[1:] != ids[:-1])
    if not differs.any():
        return None
    rows = np.isin(crossed.fingerprint_N, np.unique(prints[1:][differs]))
    severity = Severity.WARNING if rows.mean() > MANY_CONTRADICTIONS else None
    return seen_in(
        rows, "{num} of {of} rows share their tokens with a row of another label", severity=severity
    )


MANY_CONTRADICTIONS = 0.1  # chosen: 5 % label noise on repeated texts is common, twice that is worth a look
