"""Rules about which labels the loss counts: those of padding, of cut rows, and of no token at all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabsearch.forensics.facts.target import LossKind
from stabsearch.forensics.facts.training_rows import TrainingRows
from stabsearch.forensics.finding import Severity
from stabsearch.forensics.rules.book import RuleBook, Seen, seen_in
from stabsearch.forensics.rules.labels import CLASSES, IDS, LABEL, ids_of
from stabsearch.records import Cause

COUNTED: RuleBook[TrainingRows] = RuleBook()
Rows = NDArray[np.bool_]
PER_TOKEN = (LossKind.TOKENS, LossKind.CAUSAL, LossKind.MASKED, LossKind.SEQ2SEQ)
NOTHING_TO_LEARN = "`'loss': nan, 'grad_norm': 0.0` now and then, or `'loss': 0.0` with the NaN filter on"


def _unsupervised(facts: TrainingRows) -> Rows | None:
    """Return which rows hold no label that the loss counts."""
    labels, crossed = facts.labels_of(*IDS), facts.rows.crossed
    if labels is None or crossed is None or facts.target.ignore_index >= 0:
        return None
    return np.asarray((crossed.supervised_N == 0) & ~labels.missing_N)


def _were_cut(facts: TrainingRows, without: Rows) -> Rows:
    """Return which rows without labels are as long as any row is, where most of them are: texts were cut."""
    ids = facts.token_ids
    if ids is None or not facts.target.kind.is_per_token or facts.target.kind is LossKind.SEQ2SEQ:
        return np.zeros_like(without)
    longest = ids.length_N.max()
    is_limit = int((ids.length_N == longest).sum()) > 1 and bool((ids.length_N < longest).any())
    cut = without & (ids.length_N == longest)
    return cut if is_limit and 2 * cut.sum() > without.sum() else np.zeros_like(without)


def _empty_batches(facts: TrainingRows, without: NDArray[Any]) -> float:
    """Return how many batches without any label the run is expected to meet.

    Args:
        facts: of the run.
        without: for each row whether it has no label, or how probable that is.
    """
    run, num_rows = facts.run, facts.rows.num_rows
    size = min(run.batch_size, num_rows)
    if run.is_in_order:
        starts = np.arange(0, num_rows, size)
        return float(np.multiply.reduceat(without.astype(np.float64), starts).sum())
    return run.batches(num_rows) * float(without.mean()) ** size


@COUNTED.rule(
    "STAB-D018", "rows with nothing to learn: every label is -100", Severity.WARNING, Cause.DATA,
    symptom=NOTHING_TO_LEARN,
    fix="drop these rows; a batch of nothing else divides 0 by 0",
    key=LABEL,
)  # fmt: skip
def nothing_to_learn(facts: TrainingRows) -> Seen | None:
    """An error where batches of nothing else will come: their loss is 0/0."""
    without = _unsupervised(facts)
    if without is None:
        return None
    left = without & ~_were_cut(facts, without)
    if not left.any():
        return None
    expected = _empty_batches(facts, without)
    text = f"{{num}} of {{of}} rows have no label but {facts.target.ignore_index}"
    return seen_in(left, text, severity=Severity.ERROR if expected >= 1 else None)


@COUNTED.enter(COUNTED["STAB-D018"])
def nothing_to_hide(facts: TrainingRows) -> Seen | None:
    """An empty text, or one of unknown words alone, to a masked language model."""
    if facts.masking is None or facts.rows.crossed is None:
        return None
    without = facts.rows.crossed.maskable_N == 0
    if not without.any():
        return None
    expected = _empty_batches(facts, without)
    text = "{num} of {of} rows hold nothing but special tokens: none can be hidden"
    return seen_in(without, text, severity=Severity.ERROR if expected >= 1 else None)


@COUNTED.rule(
    "STAB-D042", "batches in which no token is hidden", Severity.ERROR, Cause.DATA,
    symptom=NOTHING_TO_LEARN,
    fix="larger batches, longer rows or a higher mlm_probability; the mean over no hidden token is 0/0",
    key=("task", "mlm_probability"),
)  # fmt: skip
def nothing_hidden(facts: TrainingRows) -> Seen | None:
    """Each token is hidden by chance: a small batch of short rows is now and then left as it is."""
    masking, crossed = facts.masking, facts.rows.crossed
    if masking is None or crossed is None or masking.hides_one:
        return None
    expected = _empty_batches(facts, (1 - masking.probability) ** crossed.maskable_N)
    if expected < 1:
        return None
    text = f"about {expected:.3g} batches will come without a hidden token"
    return Seen(f"{text}: rows hold {crossed.maskable_N.mean():.3g} tokens that can be hidden")


@COUNTED.rule(
    "STAB-D019", "labels lost where rows are cut", Severity.WARNING, Cause.DATA,
    symptom=NOTHING_TO_LEARN,
    fix="allow longer rows (max_length), cut the prompt instead of the answer, or drop these rows",
    key=("task", "max_length"),
)  # fmt: skip
def labels_cut_off(facts: TrainingRows) -> Seen | None:
    """The row is as long as any may be, and what was to be learned stood behind the cut."""
    without = _unsupervised(facts)
    cut = None if without is None else _were_cut(facts, without)
    if without is None or cut is None or not cut.any():
        return None
    expected = _empty_batches(facts, without)
    ids = facts.token_ids
    length = int(ids.length_N.max()) if ids is not None else 0
    text = f"{{num}} of {{of}} rows were cut at {length} tokens and have no label left"
    return seen_in(cut, text, severity=Severity.ERROR if expected >= 1 else None)


@COUNTED.rule(
    "STAB-D020", "more or fewer labels than tokens", Severity.ERROR, Cause.DATA,
    symptom="`ValueError: Expected input batch_size (48) to match target batch_size (64).`, or nothing",
    fix="align labels with tokens (word_ids of the tokenizer) before rows are cut, and cut both alike",
    key=LABEL,
)  # fmt: skip
def uneven_labels(facts: TrainingRows) -> Seen | None:
    """Collators fill up what is missing: labels then belong to other tokens, silently."""
    labels, ids = facts.labels_of(LossKind.TOKENS, LossKind.CAUSAL, LossKind.MASKED), facts.token_ids
    if labels is None or ids is None or not labels.is_list:
        return None
    uneven = labels.is_filled & (labels.length_N != ids.length_N)
    if not uneven.any():
        return None
    first = int(np.flatnonzero(uneven)[0])
    counts = f"{labels.length_N[first]} labels for {ids.length_N[first]} tokens"
    return seen_in(uneven, f"{{num}} of {{of}} rows do not have a label per token, the first {counts}")


@COUNTED.rule(
    "STAB-D021", "padding is learned: the padding token is a label", Severity.ERROR, Cause.DATA,
    symptom="a loss far too good from the start, and generated text that ends at once or never",
    fix="set labels to -100 wherever attention_mask is 0",
    key=LABEL,
)  # fmt: skip
def padding_is_label(facts: TrainingRows) -> Seen | None:
    """Most of what the loss counts is then padding."""
    crossed, labels = facts.rows.crossed, facts.labels_of(*PER_TOKEN)
    if crossed is None or labels is None or labels.kind != "int":
        return None
    padded = crossed.padded_labels_N > 0
    if not padded.any():
        return None
    share = crossed.padded_labels_N.sum() / max(1, crossed.supervised_N.sum())
    return seen_in(padded, f"{{num}} of {{of}} rows: {share:.0%} of all labels are padding")


@COUNTED.rule(
    "STAB-D022", "a class that the loss leaves out", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="one class is never predicted, or padding is learned as class 0; `'loss'` looks healthy",
    fix="use -100 as ignore_index and label_pad_token_id",
    key=LABEL,
)  # fmt: skip
def ignored_class(facts: TrainingRows) -> Seen | None:
    """An ignore index that is also the id of a class."""
    labels = ids_of(facts)
    if labels is None or facts.target.kind not in CLASSES:
        return None
    for name, index in facts.ignored_classes:
        if 0 <= index < facts.target.num_labels:
            holds = labels.is_filled & (labels.low_N <= index) & (labels.high_N >= index)
            return seen_in(holds, f"{name} is {index}, which is the id of a class")
    return None
