"""Rules about labels against the loss that will be used: what Transformers makes of type and shape."""

from __future__ import annotations

import numpy as np

from stabsearch.forensics.facts.target import LossKind
from stabsearch.forensics.facts.training_rows import LabelsAndLoss
from stabsearch.forensics.finding import Severity
from stabsearch.forensics.rules.book import RuleBook, Seen
from stabsearch.records import Cause

LOSS: RuleBook[LabelsAndLoss] = RuleBook()
LABEL, MODEL = ("task", "label"), ("task", "model")
MOST_CLASSES = 1_000  # chosen: more different whole numbers are counts or years, not classes
SEQUENCE = (LossKind.CLASSES, LossKind.REGRESSION, LossKind.MULTI_LABEL)
MISMATCH = "`ValueError: Target size (torch.Size([8])) must be the same as input size (torch.Size([8, 3]))`"


def _shape(facts: LabelsAndLoss, *kinds: LossKind) -> tuple[int, ...] | None:
    """Return the shape of a batch's labels where the loss is one of ``kinds``."""
    labels = facts.batch.labels
    is_meant = (
        facts.target.is_known and facts.target.kind in kinds and labels is not None and labels.is_tensor
    )
    return labels.shape if is_meant and labels is not None else None


def _is_float(facts: LabelsAndLoss) -> bool:
    return facts.target.label_dtype in {"float16", "bfloat16", "float32", "float64"}


def _are_one_hot(facts: LabelsAndLoss) -> bool:
    """Return whether every row of labels holds a single 1 among zeros; at least two rows."""
    labels = facts.labels
    if labels is None or not labels.is_list or len(labels.length_N) < 2:
        return False
    is_unit = (labels.low_N == 0) & (labels.high_N == 1) & (labels.positive_N == 1)
    return bool(is_unit.all()) and bool((labels.length_N > 1).all())


@LOSS.rule(
    "STAB-L001", "class ids are regressed on", Severity.WARNING, Cause.LOSS_MISMATCH,
    symptom="a loss like 0.25 that stops falling, no accuracy; `num_labels=1` makes a regression of it",
    fix="one output per class (num_labels) for classes; problem_type='regression' and floats for numbers",
    key=MODEL,
)  # fmt: skip
def ids_with_one_output(facts: LabelsAndLoss) -> Seen | None:
    """An error for ids 0, 1, ... without a gap: ratings start at 1, or are said to be a regression."""
    target, labels = facts.target, facts.labels
    is_guessed = target.is_known and target.kind is LossKind.REGRESSION and target.problem_type is None
    if not is_guessed or target.num_labels != 1 or labels is None or _is_float(facts):
        return None
    if labels.kind not in {"int", "bool"} or labels.is_list or labels.missing_N.any():
        return None
    low, high = int(labels.low_N.min()), int(labels.high_N.max())
    if low < 0 or high < 1 or high >= MOST_CLASSES:
        return None
    are_ids = bool((np.bincount(labels.low_N.astype(np.int64)) > 0).all())
    text = f"labels are whole numbers {low} to {high}, and num_labels=1 trains a regression on them"
    return Seen(text, severity=Severity.ERROR if are_ids else None)


@LOSS.rule(
    "STAB-L002", "one-hot labels are trained as yes-or-no questions", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="a loss that starts at 0.69, not ln(classes); problem_type became multi_label_classification",
    fix="give class ids (labels.argmax(-1)), or set problem_type='multi_label_classification' if meant",
    key=LABEL,
)  # fmt: skip
def one_hot_floats(facts: LabelsAndLoss) -> Seen | None:
    """Float labels without a problem_type are multi-label to Transformers."""
    shape = _shape(facts, LossKind.MULTI_LABEL)
    if shape is None or facts.target.problem_type is not None or not _is_float(facts):
        return None
    if len(shape) != 2 or shape[1] != facts.target.num_labels or not _are_one_hot(facts):
        return None
    return Seen(f"every row is one-hot over {shape[1]} classes: the loss guessed from it is multi-label")


@LOSS.rule(
    "STAB-L003", "one-hot labels for cross-entropy", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="`ValueError: Expected input batch_size (4) to match target batch_size (12).`",
    fix="give one class id per row: labels.argmax(-1)",
    key=LABEL,
)  # fmt: skip
def one_hot_ids(facts: LabelsAndLoss) -> Seen | None:
    """Transformers flattens the labels: each 0 and 1 is taken for the label of a row of its own."""
    shape = _shape(facts, LossKind.CLASSES)
    if shape is None or len(shape) < 2 or shape[1] == 1:
        return None
    return Seen(f"labels are of shape [rows, {shape[1]}], and cross-entropy takes one class id per row")


@LOSS.rule(
    "STAB-L004", "multi-label targets that are no floats", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="`RuntimeError: result type Float can't be cast to the desired output type Long`",
    fix="cast the labels to float32",
    key=LABEL,
)  # fmt: skip
def integer_multi_hot(facts: LabelsAndLoss) -> Seen | None:
    """Binary cross-entropy wants targets of the logits' type."""
    shape = _shape(facts, LossKind.MULTI_LABEL)
    if shape is None or len(shape) != 2 or _is_float(facts):
        return None
    return Seen(f"multi-label targets are {facts.target.label_dtype}, and have to be floats")


@LOSS.rule(
    "STAB-L005", "more or fewer targets than outputs", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="`ValueError: Target size (torch.Size([8, 2])) must be the same as input size`",
    fix="set num_labels to the number of targets per row",
    key=MODEL,
)  # fmt: skip
def targets_per_row(facts: LabelsAndLoss) -> Seen | None:
    """Multi-label needs a target for each output."""
    shape, num_labels = _shape(facts, LossKind.MULTI_LABEL), facts.target.num_labels
    if shape is None or len(shape) != 2 or shape[1] == num_labels:
        return None
    return Seen(f"{shape[1]} targets per row for {num_labels} outputs")


@LOSS.rule(
    "STAB-L006", "class ids that are floats", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom=f"{MISMATCH}, `RuntimeError: expected target dtype to be Long or Byte, but got Float`",
    fix="cast the labels to int64",
    key=LABEL,
)  # fmt: skip
def float_ids(facts: LabelsAndLoss) -> Seen | None:
    """One number per row for several outputs: a class, whatever its type says."""
    shape = _shape(facts, LossKind.CLASSES, LossKind.MULTI_LABEL, LossKind.TOKENS)
    if (
        shape is None
        or not _is_float(facts)
        or (len(shape) != 1 and facts.target.kind is not LossKind.TOKENS)
    ):
        return None
    return Seen(f"labels are {facts.target.label_dtype}, one per row, for {facts.target.num_labels} classes")


@LOSS.rule(
    "STAB-L007", "labels of an integer type that the loss does not take", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom=f"`RuntimeError: expected target dtype to be Long or Byte, but got Int`, {MISMATCH}",
    fix="cast the labels to int64",
    key=LABEL,
)  # fmt: skip
def wrong_integer(facts: LabelsAndLoss) -> Seen | None:
    """bool, uint8, int8 and int16 are multi-label to Transformers, int32 is refused by PyTorch."""
    target = facts.target
    shape = _shape(facts, *(kind for kind in LossKind if kind.is_cross_entropy), LossKind.MULTI_LABEL)
    taken = {"int64"} if target.kind is LossKind.MULTI_LABEL else {"int64", "uint8"}
    if shape is None or _is_float(facts) or target.label_dtype in taken:
        return None
    if target.kind is LossKind.MULTI_LABEL and len(shape) != 1:
        return None
    return Seen(f"labels are {target.label_dtype}; class ids have to be int64")


@LOSS.rule(
    "STAB-L008", "targets are spread over outputs", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="`UserWarning: Using a target size (torch.Size([8])) that is different to the input size`, once; "
    "otherwise `RuntimeError: The size of tensor a (3) must match the size of tensor b (8)`",
    fix="give labels the shape [rows, num_labels]; for one target per row, num_labels=1",
    key=MODEL,
)  # fmt: skip
def regression_broadcast(facts: LabelsAndLoss) -> Seen | None:
    """Every output is compared with every target of the batch where the sizes happen to allow it."""
    shape, num_labels = _shape(facts, LossKind.REGRESSION), facts.target.num_labels
    if shape is None or not shape:
        return None
    width = 1 if len(shape) == 1 else int(np.prod(shape[1:]))
    if width == num_labels:
        return None
    return Seen(f"targets per row: {width}, outputs of the model: {num_labels}")


@LOSS.rule(
    "STAB-L009", "label smoothing for a loss without classes", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="`RuntimeError: gather(): Expected dtype int64 for index`, or `'loss': 0.0` throughout",
    fix="remove label_smoothing_factor",
    key=("training", "label_smoothing_factor"),
)  # fmt: skip
def smoothed_regression(facts: LabelsAndLoss) -> Seen | None:
    """Transformers' smoother is a cross-entropy, whatever the model's own loss is."""
    target = facts.target
    if not target.label_smoothing or target.is_own_loss or target.kind not in SEQUENCE:
        return None
    if target.kind is LossKind.CLASSES:
        return None
    return Seen(f"label_smoothing_factor={target.label_smoothing:g} with {target.kind.value}")


@LOSS.rule(
    "STAB-L010", "labels that are texts", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="`ValueError: too many dimensions 'str'`, `Unable to create tensor`",
    fix="map the names to ids, 0 to num_labels - 1 (datasets: class_encode_column)",
    key=LABEL,
)  # fmt: skip
def text_labels(facts: LabelsAndLoss) -> Seen | None:
    """No collator makes ids of names."""
    labels = facts.labels
    if labels is None or labels.kind != "text" or not facts.batch.problem:
        return None
    return Seen("labels are texts, and losses take numbers")
