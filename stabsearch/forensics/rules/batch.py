"""Rules about the batch that the collator makes."""

from __future__ import annotations

from typing import Any

from stabsearch.forensics.facts.model import FP16_LARGEST
from stabsearch.forensics.facts.target import LossKind
from stabsearch.forensics.facts.training_rows import LabelsAndLoss
from stabsearch.forensics.finding import Severity
from stabsearch.forensics.rules.book import RuleBook, Seen
from stabsearch.forensics.rules.counted import COUNTED
from stabsearch.forensics.rules.tokens import TOKENS
from stabsearch.records import Cause

BATCH: RuleBook[LabelsAndLoss] = RuleBook()
DATA = ("task", "data")
INPUTS = ("input_ids", "inputs_embeds", "pixel_values", "input_features", "input_values")
NEEDED = {*INPUTS, "attention_mask", "labels"}
PER_ROW = {"input_ids", "attention_mask", "token_type_ids", "position_ids", "labels", "inputs_embeds"}


@BATCH.rule(
    "STAB-D005", "a column is missing", Severity.ERROR, Cause.DATA,
    symptom="`ValueError: You have to specify either input_ids or inputs_embeds`, `KeyError: 'input_ids'`",
    fix="tokenise the rows first, and name the columns as the model's forward does",
    key=DATA,
)  # fmt: skip
def missing_inputs(facts: LabelsAndLoss) -> Seen | None:
    """A batch that holds nothing the model can read."""
    batch = facts.batch
    wanted = [name for name in INPUTS if name in batch.takes]
    if (
        not batch.rows
        or batch.problem
        or not wanted
        or any(name in batch.parts for name in INPUTS)
        or facts.target.is_own_loss
    ):
        return None
    found = ", ".join(batch.parts) or "nothing"
    return Seen(f"a batch holds {found}, and the model needs {wanted[0]}")


@BATCH.rule(
    "STAB-D037", "a mask beyond the range of fp16", Severity.WARNING, Cause.PRECISION_AT_INIT,
    symptom="`'loss': nan` in fp16 only: -1e9 becomes -inf, and a row of -inf becomes NaN in its softmax",
    fix="use torch.finfo(dtype).min, or a boolean mask",
    key=("search", "precision"),
)  # fmt: skip
def mask_beyond_fp16(facts: LabelsAndLoss) -> Seen | None:
    """An error where it will be trained in fp16."""
    for name, part in facts.batch.parts.items():
        if name.endswith("mask") and part.low < -FP16_LARGEST and len(part.shape) > 2:
            in_fp16 = "fp16" in facts.precisions
            return Seen(f"{name} holds {part.low:g}, fp16 ends at -65504",
                        severity=Severity.ERROR if in_fp16 else None)  # fmt: skip
    return None


@BATCH.rule(
    "STAB-D050", "rows that cannot be put into a batch", Severity.ERROR, Cause.DATA,
    symptom="`ValueError: Unable to create tensor, you should probably activate truncation and/or padding`, "
    "`TypeError: 'NoneType' object is not callable`, a `KeyError` in the collator",
    fix="pad in the collator (DataCollatorWithPadding and its kin), and remove columns that are no numbers",
    key=DATA,
)  # fmt: skip
def collator_raises(facts: LabelsAndLoss) -> Seen | None:
    """What the collator said of a few rows."""
    batch = facts.batch
    if not batch.problem or not batch.is_mapping:
        return None
    return Seen(f"the collator fails: {batch.problem}", batch.rows, len(batch.rows))


@BATCH.rule(
    "STAB-D051", "a batch that does not hold tensors", Severity.ERROR, Cause.DATA,
    symptom="`TypeError: BertModel.forward() argument after ** must be a mapping`, "
    "`AttributeError: 'list' object has no attribute 'size'`",
    fix="let the collator return a dict of tensors (return_tensors='pt')",
    key=DATA,
)  # fmt: skip
def no_tensors(facts: LabelsAndLoss) -> Seen | None:
    """Lists of numbers, or no mapping at all."""
    batch = facts.batch
    if not batch.is_mapping:
        return Seen(f"the collator returns {batch.problem}, not a mapping of tensors")
    plain = [name for name, part in batch.parts.items() if not part.is_tensor and name in batch.takes]
    if not plain:
        return None
    kinds = ", ".join(f"{name} is a {batch.parts[name].dtype}" for name in plain[:3])
    is_needed = bool(NEEDED & set(plain)) and not facts.target.is_own_loss
    return Seen(f"not a tensor: {kinds}", severity=Severity.ERROR if is_needed else Severity.WARNING)


@BATCH.rule(
    "STAB-D052", "batch sizes that disagree", Severity.ERROR, Cause.DATA,
    symptom="`ValueError: Expected input batch_size (8) to match target batch_size (7).`",
    fix="let the collator give every tensor one entry per row",
    key=DATA,
)  # fmt: skip
def sizes_disagree(facts: LabelsAndLoss) -> Seen | None:
    """Only what has one entry per row by definition is compared."""
    batch = facts.batch
    sizes = {n: p.shape[0] for n, p in batch.parts.items() if p.is_tensor and p.shape and n in PER_ROW}
    if len(set(sizes.values())) < 2 or "cu_seq_lens_q" in batch.parts:
        return None
    return Seen(
        "; ".join(f"{name}: {size} rows" for name, size in sizes.items()), batch.rows, len(batch.rows)
    )


@BATCH.rule(
    "STAB-D053", "a batch without labels", Severity.ERROR, Cause.DATA,
    symptom="`ValueError: The model did not return a loss from the inputs, only the following keys: logits`",
    fix="name the label column `labels`, and let neither remove_unused_columns nor the collator drop it",
    key=("task", "label"),
)  # fmt: skip
def no_labels(facts: LabelsAndLoss) -> Seen | None:
    """The model computes a loss only where it is given labels."""
    batch = facts.batch
    is_readable = not batch.problem and batch.parts and any(name in batch.parts for name in INPUTS)
    if (
        not is_readable
        or not facts.target.is_known
        or batch.labels is not None
        or "labels" not in batch.takes
    ):
        return None
    return Seen(f"a batch holds {', '.join(batch.parts)}, and no {batch.label_names[0]}")


def _mask_and_padding(facts: LabelsAndLoss) -> tuple[Any, Any] | None:
    """Return which tokens of a batch its mask shows, and which are padding (None: it cannot be told)."""
    ids, mask = facts.batch.inputs.get("input_ids"), facts.batch.inputs.get("attention_mask")
    if ids is None or mask is None or not hasattr(mask, "shape") or mask.shape != ids.shape or ids.ndim != 2:
        return None
    pad_id = facts.tokens.distinct_pad_id
    return mask > 0, None if pad_id is None else ids == pad_id


@BATCH.enter(TOKENS["STAB-D035"])
def collator_hides_all(facts: LabelsAndLoss) -> Seen | None:
    """The collator makes masks of zeros."""
    found = _mask_and_padding(facts)
    if found is None or found[1] is None:
        return None
    shown, is_padding = found
    hidden = (~shown).all(dim=1) & (~is_padding).any(dim=1)
    rows = tuple(row for row, is_hidden in zip(facts.batch.rows, hidden.tolist(), strict=False) if is_hidden)
    if not rows or (facts.batch.inputs["attention_mask"] < 0).any():
        return None
    return Seen(
        f"the masks of {len(rows)} of {len(facts.batch.rows)} rows of a small batch are zeros",
        rows,
        len(rows),
    )


@BATCH.enter(TOKENS["STAB-D036"])
def collator_masks_otherwise(facts: LabelsAndLoss) -> Seen | None:
    """An error where all padding is shown: what the model makes of a row depends on the rows beside it."""
    found = _mask_and_padding(facts)
    if found is None or found[1] is None or not found[1].any():
        return None
    shown, is_padding = found
    num_shown, num_hidden = int((shown & is_padding).sum()), int((~shown & ~is_padding).sum())
    if not num_shown and not num_hidden:
        return None
    is_ignored = num_shown == int(is_padding.sum())
    text = f"the mask of a small batch shows {num_shown} of {int(is_padding.sum())} tokens of padding"
    text += f" and hides {num_hidden} others" if num_hidden else ""
    return Seen(text, severity=Severity.ERROR if is_ignored else None)


@BATCH.enter(COUNTED["STAB-D021"])
def collator_pads_labels(facts: LabelsAndLoss) -> Seen | None:
    """The collator fills labels up with something that the loss counts."""
    kind, labels, mask = (
        facts.target.kind,
        facts.batch.inputs.get("labels"),
        facts.batch.inputs.get("attention_mask"),
    )
    if not (facts.target.is_known and kind.is_per_token) or labels is None:
        return None
    if kind is LossKind.SEQ2SEQ:
        if facts.tokens.distinct_pad_id is None:
            return None  # every end of a target looks like padding
        is_padding = labels == facts.tokens.pad_id
    elif mask is None or mask.shape != labels.shape:
        return None
    else:
        is_label = (
            labels != facts.target.ignore_index if kind is LossKind.TOKENS else labels == facts.tokens.pad_id
        )
        is_padding = (mask == 0) & is_label
    num_padded = int(is_padding.sum()) if facts.tokens.pad_id is not None or kind is LossKind.TOKENS else 0
    num_counted = int((labels != facts.target.ignore_index).sum())
    if not num_padded:
        return None
    return Seen(f"{num_padded} of {num_counted} labels of a small batch are padding", facts.batch.rows)
