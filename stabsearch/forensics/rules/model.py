"""Rules about weights, initialisation and precision."""

from __future__ import annotations

import math

from stabsearch.forensics.facts.model import FP16_LARGEST, ModelFacts
from stabsearch.forensics.facts.probe import ProbeFacts
from stabsearch.forensics.facts.target import LossKind
from stabsearch.forensics.finding import Severity
from stabsearch.forensics.rules.book import RuleBook, Seen
from stabsearch.records import Cause

WEIGHTS: RuleBook[ModelFacts] = RuleBook()
FORWARD: RuleBook[ProbeFacts] = RuleBook()
MODEL, PRECISION = ("task", "model"), ("search", "precision")
HIGH_LOSS = 2.0  # chosen: heads of Transformers' initialisation start within 30 % of ln(classes)
ABSURD_HEAD = 100.0  # chosen: no initialisation and no training in use comes near
WIDE_HEAD = 10.0  # chosen: ten times the initializer_range moves the first logits by whole units
FP16_MARGIN = 8.0  # chosen: activations grow by less than this in a fine-tuning run that stays stable


@WEIGHTS.rule(
    "STAB-M002", "a classifier of an unusual scale", Severity.WARNING, Cause.INITIALISATION,
    symptom="a first loss far above ln(classes): `'loss': 14.2`",
    fix="initialise the head with the model's own initializer_range (usually 0.02)",
    key=MODEL,
)  # fmt: skip
def wide_head(facts: ModelFacts) -> Seen | None:
    """Large logits before anything was learned: confident, and wrong."""
    if not (math.isfinite(facts.head_std) and facts.initializer_range > 0):
        return None
    times = facts.head_std / facts.initializer_range
    if times <= WIDE_HEAD:
        return None
    text = f"weights of {facts.head} have a deviation of {facts.head_std:.3g}, {times:.4g} times"
    severity = Severity.ERROR if times > ABSURD_HEAD else None
    return Seen(f"{text} the initializer_range", severity=severity)


@WEIGHTS.rule(
    "STAB-M003", "weights that are not float32", Severity.WARNING, Cause.SETTINGS_NOT_APPLIED,
    symptom="`ValueError: Attempting to unscale FP16 gradients.`, or `'loss': nan` after the first update",
    fix="load with from_pretrained(..., dtype=torch.float32): the default is the checkpoint's own dtype",
    key=MODEL,
)  # fmt: skip
def not_float32(facts: ModelFacts) -> Seen | None:
    """fp16 weights break: Adam's epsilon of 1e-8 is 0 in fp16. bf16 weights lose small updates."""
    low = [dtype for dtype in facts.dtypes if dtype in {"float16", "bfloat16"}]
    if not low or (low == ["bfloat16"] and set(facts.precisions) == {"bf16-pure"}):
        return None
    severity = Severity.ERROR if "float16" in low else None
    return Seen(f"weights are {' and '.join(low)}: updates and Adam's moments are, too", severity=severity)


@WEIGHTS.rule(
    "STAB-M004", "weights that are NaN or infinite", Severity.ERROR, Cause.INITIALISATION,
    symptom="`'loss': 0.0, 'grad_norm': nan` from the first step, whatever the learning rate",
    fix="take another checkpoint: this one was saved after its training broke, or did not load fully",
    key=MODEL,
)  # fmt: skip
def nonfinite_weights(facts: ModelFacts) -> Seen | None:
    """Nothing comes back from there."""
    if not facts.nonfinite:
        return None
    more = f" and {len(facts.nonfinite) - 1} more" if len(facts.nonfinite) > 1 else ""
    return Seen(f"NaN or infinity in {facts.nonfinite[0]}{more}")


@WEIGHTS.rule(
    "STAB-M006", "weights or constants beyond the range of fp16", Severity.WARNING, Cause.PRECISION_AT_INIT,
    symptom="`'loss': nan` in fp16 only: a constant of -1e9 becomes -inf",
    fix="use torch.finfo(dtype).min for masks; train in bf16",
    key=PRECISION,
)  # fmt: skip
def beyond_fp16(facts: ModelFacts) -> Seen | None:
    """Only where it will be trained in fp16."""
    if not facts.beyond_fp16 or "fp16" not in facts.precisions:
        return None
    name, size = facts.beyond_fp16[0]
    more = f" and {len(facts.beyond_fp16) - 1} more" if len(facts.beyond_fp16) > 1 else ""
    return Seen(f"{name}{more} reaches {size:.3g}, fp16 ends at 65504")


@WEIGHTS.rule(
    "STAB-M008", "nothing is trained", Severity.ERROR, Cause.INITIALISATION,
    symptom="`RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn`",
    fix="set requires_grad for the weights that are to be trained",
    key=MODEL,
)  # fmt: skip
def all_frozen(facts: ModelFacts) -> Seen | None:
    """Every weight is frozen."""
    if facts.num_trained or not facts.num_weights:
        return None
    return Seen(f"all {facts.num_weights:,} weights are frozen")


@FORWARD.rule(
    "STAB-L011", "the model fails on a batch", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="the exception that is quoted; on a GPU perhaps `CUDA error: device-side assert triggered`",
    fix="run model(**batch) on the CPU with the rows that are named, and follow the traceback",
    key=MODEL,
)  # fmt: skip
def forward_raises(facts: ProbeFacts) -> Seen | None:
    """What the forward of a copy raised, on a CPU in fp32; of a loss of the Trainer's nothing is known."""
    if not facts.problem or facts.target.is_own_loss:
        return None
    return Seen(f"the forward of a small batch fails: {facts.problem}", facts.rows, len(facts.rows))


@FORWARD.rule(
    "STAB-L012", "the model returns no loss", Severity.ERROR, Cause.LOSS_MISMATCH,
    symptom="`ValueError: The model did not return a loss from the inputs, only the following keys: logits`",
    fix="name the labels as the model's forward does, or give the Trainer a compute_loss_func",
    key=MODEL,
)  # fmt: skip
def returns_no_loss(facts: ProbeFacts) -> Seen | None:
    """A model without a head, or labels that it does not take."""
    is_asked = not facts.target.is_own_loss and not facts.target.label_smoothing and bool(facts.keys)
    if facts.problem or not is_asked or facts.loss is not None:
        return None
    return Seen(f"the model returns {', '.join(facts.keys)}, and no loss")


@FORWARD.rule(
    "STAB-L013", "the first loss is NaN or infinite", Severity.ERROR, Cause.DATA,
    symptom="`'loss': 0.0, 'grad_norm': nan` from the first step, at any learning rate and in fp32",
    fix="look at the rows that are named: targets, masks and inputs; stabsearch diagnose narrows it down",
    key=("task", "data"),
)  # fmt: skip
def first_loss_nonfinite(facts: ProbeFacts) -> Seen | None:
    """In fp32 on the initial weights: no hyperparameter mends it."""
    if facts.loss is None or math.isfinite(facts.loss) or facts.is_blind:
        return None
    rows = facts.bad_rows or facts.rows
    return Seen(f"the loss of a small batch is {facts.loss} before any training", rows, len(rows))


@FORWARD.rule(
    "STAB-M010", "outputs that are NaN or infinite before any training", Severity.ERROR, Cause.INITIALISATION,
    symptom="`'loss': 0.0, 'grad_norm': nan` from the first step, whatever the data and the learning rate",
    fix="initialise the model anew, or take another checkpoint: its weights are too large for fp32",
    key=MODEL,
)  # fmt: skip
def blind_model(facts: ProbeFacts) -> Seen | None:
    """Finite weights and inputs, and not one row with a finite output: the model is at fault, not a row."""
    return Seen("the model's outputs are NaN or infinite for every row") if facts.is_blind else None


@FORWARD.rule(
    "STAB-M001", "a first loss far above chance", Severity.WARNING, Cause.INITIALISATION,
    symptom="`'loss': 27.4` in the first log line, where ln(classes) would be 1.4",
    fix="check the scale of the new head, and that the checkpoint was loaded (no missing keys)",
    key=MODEL,
)  # fmt: skip
def high_first_loss(facts: ProbeFacts) -> Seen | None:
    """Knowing nothing costs ln(classes), or ln 2 per yes-or-no question."""
    chance = _chance(facts)
    if facts.loss is None or chance is None or not math.isfinite(facts.loss):
        return None
    if facts.loss <= HIGH_LOSS * chance + 1:
        return None
    return Seen(f"the loss before any training is {facts.loss:.3g}, chance is {chance:.3g}")


def _chance(facts: ProbeFacts) -> float | None:
    target = facts.target
    if target.kind is LossKind.MULTI_LABEL:
        return math.log(2)
    return math.log(target.num_labels) if target.kind.is_cross_entropy and target.num_labels > 1 else None


@FORWARD.rule(
    "STAB-M005", "activations near the end of fp16", Severity.WARNING, Cause.PRECISION_AT_INIT,
    symptom="`'loss': nan` or `'grad_norm': nan` in fp16 while bf16 trains well; the loss scale falls to 1",
    fix="train in bf16 or fp32",
    key=PRECISION,
)  # fmt: skip
def near_fp16_limit(facts: ProbeFacts) -> Seen | None:
    """Matrix products run in fp16 under autocast; what is above 65504 there is infinite."""
    if "fp16" not in facts.precisions or not facts.largest:
        return None
    name, size = facts.largest[0]
    if not math.isfinite(size) or size <= FP16_LARGEST / FP16_MARGIN:
        return None
    overflows = size > FP16_LARGEST
    return Seen(f"outputs of {name} reach {size:.3g} in fp32, fp16 ends at 65504",
                severity=Severity.ERROR if overflows else None)  # fmt: skip


@FORWARD.rule(
    "STAB-M007", "gradient accumulation multiplies the loss", Severity.WARNING, Cause.OPTIMIZER_SETTINGS,
    symptom="`'loss'` and `'grad_norm'` grow with gradient_accumulation_steps: 2.78 instead of 0.69 with 4",
    fix="trainer.loss_is_scaled_for_ga = False (huggingface/transformers issue 47688); accumulation: fix",
    key=("training", "gradient_accumulation_steps"),
)  # fmt: skip
def accumulation_inflates(facts: ProbeFacts) -> Seen | None:
    """The Trainer leaves the division to a model that does not divide; clipping then bites earlier."""
    if facts.accumulation < 2 or not facts.ignores_count:
        return None
    return Seen(
        f"the model ignores num_items_in_batch: loss and gradients are {facts.accumulation} times too large"
    )


@FORWARD.rule(
    "STAB-M011", "a language model that reads the tokens it is to predict", Severity.ERROR,
    Cause.LOSS_MISMATCH,
    symptom="`'loss': 0.01` after a few hundred steps, and generated text that is noise",
    fix="set is_decoder: true in the model's configuration, or train it as what it is (masked-lm)",
    key=MODEL,
)  # fmt: skip
def sees_ahead(facts: ProbeFacts) -> Seen | None:
    """BERT's kin take a causal loss without a word, and attend to both sides."""
    if not facts.sees_ahead or not facts.target.is_known:
        return None
    return Seen("another last token changes what the model says of the tokens before it")


@FORWARD.rule(
    "STAB-M009", "the model was not tried", Severity.INFO, Cause.UNKNOWN,
    symptom="nothing: what the first forward would show is not known",
    fix="run stabsearch check where a copy of the model fits into memory",
    key=MODEL,
)  # fmt: skip
def not_tried(facts: ProbeFacts) -> Seen | None:
    """Too large for a copy on the CPU, or of a kind that cannot be copied."""
    return Seen(f"no forward was made: {facts.skipped}") if facts.skipped else None
