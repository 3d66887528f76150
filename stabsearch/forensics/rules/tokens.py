"""Rules about tokens, positions and attention masks, over all rows."""

from __future__ import annotations

import numpy as np

from stabsearch.forensics.facts.model import FP16_LARGEST
from stabsearch.forensics.facts.target import LossKind
from stabsearch.forensics.facts.training_rows import TrainingRows
from stabsearch.forensics.finding import Severity
from stabsearch.forensics.rules.book import RuleBook, Seen, seen_in
from stabsearch.records import Cause

TOKENS: RuleBook[TrainingRows] = RuleBook()
TOKENIZER, TEXT, LENGTH = ("task", "tokenizer"), ("task", "text"), ("task", "max_length")
MANY_UNKNOWN = 0.2  # chosen: a tokenizer of another language or of another case knows far less
MASK = "attention_mask"


@TOKENS.rule(
    "STAB-D009", "rows without a text", Severity.WARNING, Cause.DATA,
    symptom="`RuntimeError: cannot reshape tensor of 0 elements`, or rows that all look alike",
    fix="drop these rows",
    key=TEXT,
)  # fmt: skip
def no_tokens(facts: TrainingRows) -> Seen | None:
    """A row of no tokens is all padding in its batch."""
    ids = facts.token_ids
    if ids is None:
        return None
    empty = ids.length_N == 0
    return seen_in(empty, "{num} of {of} rows have no tokens") if empty.any() else None


@TOKENS.rule(
    "STAB-D030", "a token without an embedding", Severity.ERROR, Cause.DATA,
    symptom="`IndexError: index out of range in self`, `CUDA error: device-side assert triggered`",
    fix="use the model's own tokenizer, or model.resize_token_embeddings(len(tokenizer))",
    key=TOKENIZER,
)  # fmt: skip
def token_outside_embedding(facts: TrainingRows) -> Seen | None:
    """Ids count from 0 to one less than the rows of the embedding."""
    ids, size = facts.token_ids, facts.tokens.embedding_rows
    if ids is None or size is None:
        return None
    outside = ids.is_filled & ((ids.high_N >= size) | (ids.low_N < 0))
    if not outside.any():
        return None
    low, high = int(ids.low_N[outside].min()), int(ids.high_N[outside].max())
    worst = f"down to {low}" if low < 0 else f"up to {high}"
    return seen_in(outside, f"{{num}} of {{of}} rows hold token ids outside 0 to {size - 1}, {worst}")


@TOKENS.rule(
    "STAB-D031", "a tokenizer that knows more tokens than the model", Severity.WARNING, Cause.DATA,
    symptom="`IndexError: index out of range in self` at the first rare word",
    fix="use the model's own tokenizer, or model.resize_token_embeddings(len(tokenizer))",
    key=TOKENIZER,
)  # fmt: skip
def tokenizer_larger_than_model(facts: TrainingRows) -> Seen | None:
    """No error by itself: the rows may hold none of the tokens that are missing. Masking draws from all."""
    known, size = facts.tokens.num_tokens, facts.tokens.embedding_rows
    if known is None or size is None or known <= size:
        return None
    text = f"the tokenizer knows {known} tokens, the model {size}"
    if facts.masking is None or not facts.masking.draws_tokens:
        return Seen(text)
    return Seen(f"{text}, and the collator puts in random ones of all {known}", severity=Severity.ERROR)


@TOKENS.rule(
    "STAB-D032", "no padding token for a model that looks for the last token", Severity.ERROR, Cause.DATA,
    symptom="`ValueError: Cannot handle batch sizes > 1 if no padding token is defined.`",
    fix="model.config.pad_token_id = tokenizer.pad_token_id",
    key=("task", "model"),
)  # fmt: skip
def no_padding_token(facts: TrainingRows) -> Seen | None:
    """Decoders classify by the last token that is not padding."""
    tokens = facts.tokens
    if not tokens.needs_pad_id or tokens.model_pad_id is not None or facts.run.batch_size == 1:
        return None
    return Seen("the model's configuration names no padding token, and its classifier needs one")


@TOKENS.rule(
    "STAB-D033", "rows longer than the model has positions", Severity.ERROR, Cause.DATA,
    symptom="`IndexError: index out of range in self`, `RuntimeError: The expanded size of the tensor (600) "
    "must match the existing size (512)`",
    fix="cut rows when they are tokenised: truncation=True, max_length as named here",
    key=LENGTH,
)  # fmt: skip
def longer_than_positions(facts: TrainingRows) -> Seen | None:
    """Learned positions end; Roberta's family ends two before its table does."""
    if facts.tokens.positions != "learned":
        return None
    return _too_long(facts, "the model's last position,") or _labels_too_long(facts)


@TOKENS.rule(
    "STAB-D034", "rows longer than the model was trained on", Severity.WARNING, Cause.DATA,
    symptom="nothing: computed positions go on for ever, and the loss of long rows is merely high",
    fix="cut rows at the limit, or scale the positions (rope_scaling)",
    key=LENGTH,
)  # fmt: skip
def longer_than_trained(facts: TrainingRows) -> Seen | None:
    """Rotary positions extrapolate without a word."""
    if facts.tokens.positions != "extrapolated":
        return None
    return _too_long(facts, "max_position_embeddings,")


def _labels_too_long(facts: TrainingRows) -> Seen | None:
    """A decoder has as many positions as its table, whatever the encoder takes."""
    labels, limit = facts.labels_of(LossKind.SEQ2SEQ), facts.tokens.max_label_positions
    if labels is None or limit is None or not (labels.length_N > limit).any():
        return None
    text = f"labels of {{num}} of {{of}} rows are longer than the decoder's last position, {limit}"
    return seen_in(
        labels.length_N > limit,
        f"{text}, up to {int(labels.length_N.max())} tokens",
        "cut targets when they are tokenised: text_target=..., max_length as named here",
        key=("task", "max_target_length"),
    )


def _too_long(facts: TrainingRows, words: str) -> Seen | None:
    ids, limit = facts.token_ids, facts.tokens.max_positions
    if ids is None or limit is None:
        return None
    lengths = ids.length_N
    if not facts.tokens.counts_padding and facts.rows.crossed is not None:
        lengths = lengths - facts.rows.crossed.padding_N
    long = lengths > limit
    text = f"{{num}} of {{of}} rows are longer than {words} {limit}, up to {int(lengths.max())} tokens"
    return seen_in(long, text) if long.any() else None


@TOKENS.rule(
    "STAB-D035", "an attention mask of zeros", Severity.ERROR, Cause.DATA,
    symptom="nothing, or `'loss': nan` where the mask is added to scores; the row's output is noise",
    fix="set attention_mask to 1 for every token that is not padding",
    key=TEXT,
)  # fmt: skip
def mask_all_zero(facts: TrainingRows) -> Seen | None:
    """The model sees nothing of the row, and is trained on it."""
    mask, ids = facts.rows.columns.get(MASK), facts.token_ids
    if mask is None or ids is None or not mask.is_list or mask.kind == "float":
        return None
    unseen = mask.is_filled & (mask.high_N <= 0)
    if facts.rows.crossed is not None:
        unseen &= facts.rows.crossed.padding_N < ids.length_N  # a row of nothing but padding hides nothing
    text = "{num} of {of} rows have a mask of zeros: none of their tokens is seen"
    return seen_in(unseen, text) if unseen.any() else None


@TOKENS.rule(
    "STAB-D036", "an attention mask that disagrees with the padding", Severity.WARNING, Cause.DATA,
    symptom="nothing: the loss is merely worse, and depends on how long the other rows of the batch are",
    fix="make attention_mask 1 for tokens and 0 for padding; let the tokenizer make it",
    key=TEXT,
)  # fmt: skip
def mask_disagrees(facts: TrainingRows) -> Seen | None:
    """An error where no padding is hidden: the mask ignores it, or is upside down."""
    crossed, mask, ids = facts.rows.crossed, facts.rows.columns.get(MASK), facts.token_ids
    if crossed is None or mask is None or ids is None or facts.tokens.distinct_pad_id is None:
        return None
    if mask.is_list and not np.array_equal(mask.length_N, ids.length_N):
        uneven = mask.length_N != ids.length_N
        return seen_in(
            uneven, "{num} of {of} rows: mask and tokens differ in number", severity=Severity.ERROR
        )
    seen_all = mask.is_filled & (mask.high_N <= 0)  # the rule before speaks of these
    differs = ((crossed.seen_padding_N > 0) | (crossed.hidden_tokens_N > 0)) & ~seen_all
    if not differs.any():
        return None
    num_padding = int(crossed.padding_N.sum())
    is_ignored = num_padding > 0 and int(crossed.seen_padding_N.sum()) == num_padding
    text = "{num} of {of} rows: the mask shows padding, or hides tokens"
    return seen_in(differs, text, severity=Severity.ERROR if is_ignored else None)


@TOKENS.rule(
    "STAB-D038", "a token type that the model does not know", Severity.ERROR, Cause.DATA,
    symptom="`IndexError: index out of range in self` in token_type_embeddings",
    fix="leave token_type_ids out: models of the Roberta family know one type only",
    key=TOKENIZER,
)  # fmt: skip
def unknown_token_type(facts: TrainingRows) -> Seen | None:
    """Pairs tokenised for BERT, given to a model with one segment."""
    types, size = facts.rows.columns.get("token_type_ids"), facts.tokens.type_vocab_size
    if types is None or size is None or "token_type_ids" in facts.dropped or types.kind != "int":
        return None
    outside = types.is_filled & ((types.high_N >= size) | (types.low_N < 0))
    return (
        seen_in(outside, f"{{num}} of {{of}} rows hold token types beyond {size - 1}")
        if outside.any()
        else None
    )


@TOKENS.rule(
    "STAB-D039", "many unknown tokens", Severity.WARNING, Cause.DATA,
    symptom="a loss that hardly falls; rows decode to [UNK] [UNK] [UNK]",
    fix="use the tokenizer that the model was trained with, and text in the same language and case",
    key=TOKENIZER,
)  # fmt: skip
def many_unknown(facts: TrainingRows) -> Seen | None:
    """The tokenizer does not fit the texts."""
    crossed, ids = facts.rows.crossed, facts.token_ids
    if crossed is None or ids is None or facts.tokens.unk_id in {None, facts.tokens.eos_id}:
        return None
    num_tokens = int((ids.length_N - crossed.padding_N).sum())
    share = crossed.unknown_N.sum() / max(1, num_tokens)
    if share <= MANY_UNKNOWN:
        return None
    mostly = crossed.unknown_N > MANY_UNKNOWN * ids.length_N
    return seen_in(mostly, f"{share:.0%} of all tokens are unknown to the tokenizer")


@TOKENS.rule(
    "STAB-D040", "a number among the inputs that is NaN or infinite", Severity.ERROR, Cause.DATA,
    symptom="`'loss': 0.0, 'grad_norm': nan` from one step on",
    fix="drop these rows, or repair the column",
    key=("task", "data"),
)  # fmt: skip
def nonfinite_input(facts: TrainingRows) -> Seen | None:
    """Weights per row, embeddings, masks: whatever the model or the loss is given besides labels."""
    for name, column in facts.rows.columns.items():
        if column.kind != "float" or name in {facts.label, *facts.dropped}:
            continue
        # an additive mask says -inf where it hides, which is finite once it is added to scores
        hides = name.endswith("mask") & (column.high_N <= 0) & ~np.isnan(column.low_N)
        bad = (column.nonfinite_N > 0) & ~column.missing_N & ~hides
        if bad.any():
            return seen_in(bad, f"{{num}} of {{of}} rows hold NaN or infinity in column {name!r}")
    return None


@TOKENS.rule(
    "STAB-D041", "an additive attention mask with one number per token", Severity.ERROR, Cause.DATA,
    symptom="nothing: the model sees exactly what was to be hidden, and nothing else",
    fix="give 1 for tokens and 0 for padding; the model makes the additive mask itself",
    key=TEXT,
)  # fmt: skip
def additive_mask_per_token(facts: TrainingRows) -> Seen | None:
    """Transformers takes every number but 0 for *look at it*: 0 and -1e9 mean the opposite there."""
    mask, ids = facts.rows.columns.get(MASK), facts.token_ids
    if mask is None or ids is None or not mask.is_list or not np.array_equal(mask.length_N, ids.length_N):
        return None
    additive = mask.is_filled & (mask.low_N < 0)
    if not additive.any():
        return None
    low = float(mask.low_N[additive].min())
    beyond = ", which fp16 turns into -inf" if low < -FP16_LARGEST else ""
    return seen_in(
        additive, f"{{num}} of {{of}} rows have a mask with negative numbers, down to {low:g}{beyond}"
    )
