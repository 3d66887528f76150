"""What the model and the tokenizer say of tokens: how many there are, how long a row may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

LEARNED_POSITIONS = ("position_embeddings", "wpe", "embed_positions")
"""Names of the embedding tables of learned positions in Transformers' models."""


@dataclass(frozen=True)
class TokenLimits:
    """What a row of tokens may hold."""

    embedding_rows: int | None = None
    """Token ids below this have an embedding; None: not known."""
    max_positions: int | None = None
    """Longest sequence in tokens; None: no limit is known."""
    max_label_positions: int | None = None
    """Longest sequence of labels, where a decoder has positions of its own; None: no limit is known."""
    positions: Literal["learned", "extrapolated"] = "learned"
    """Beyond the limit: an error for learned positions, silence for computed ones."""
    counts_padding: bool = True
    """Padding takes positions, too; not where they are counted from the first token that is none."""
    type_vocab_size: int | None = None
    """Token type ids below this have an embedding; None: the model takes none, or does not say."""
    pad_id: int | None = None
    """Padding token of the tokenizer, of the model without one; None: there is none."""
    model_pad_id: int | None = None
    """Padding token of the model's configuration."""
    eos_id: int | None = None
    unk_id: int | None = None
    other_ids: frozenset[int | None] = frozenset()
    """Special tokens besides padding."""
    num_tokens: int | None = None
    """Tokens that the tokenizer knows; None: no tokenizer."""
    needs_pad_id: bool = False
    """It classifies by the last token that is not padding: without a padding id it takes single rows only."""

    @property
    def distinct_pad_id(self) -> int | None:
        """Return the padding token where it is nothing else: a shared one says nothing about padding."""
        return None if self.pad_id in self.other_ids else self.pad_id


def token_limits(model: Any, tokenizer: Any) -> TokenLimits:
    """Return what ``model`` and ``tokenizer`` (or None) allow."""
    config = getattr(model, "config", None)
    text: Any = (
        config.get_text_config() if config is not None and hasattr(config, "get_text_config") else config
    )
    limit, positions = _positions(model, text)
    model_pad_id = _one(getattr(text, "pad_token_id", None))
    return TokenLimits(
        embedding_rows=_embedding_rows(model),
        max_positions=limit,
        max_label_positions=_usable_of(model, "decoder") if _has_two_parts(text) else None,
        positions=positions,
        counts_padding=not _skips_padding(model),
        type_vocab_size=_type_rows(model),
        pad_id=model_pad_id if tokenizer is None else getattr(tokenizer, "pad_token_id", None),
        model_pad_id=model_pad_id,
        eos_id=_one(getattr(text, "eos_token_id", None))
        if tokenizer is None
        else getattr(tokenizer, "eos_token_id", None),
        unk_id=getattr(tokenizer, "unk_token_id", None),
        other_ids=frozenset(_ids_besides_padding(tokenizer if tokenizer is not None else text)),
        num_tokens=_size(tokenizer),
        needs_pad_id=_pools_last_token(model),
    )


def _ids_besides_padding(holder: Any) -> list[Any]:
    names = ("eos_token_id", "bos_token_id", "unk_token_id", "cls_token_id", "sep_token_id", "mask_token_id")
    return [getattr(holder, name, None) for name in names]


def _one(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _size(tokenizer: Any) -> int | None:
    try:
        return len(tokenizer)
    except TypeError:
        return None


def _embedding_rows(model: Any) -> int | None:
    try:
        weight = model.get_input_embeddings().weight
    except (AttributeError, NotImplementedError):
        return None
    return int(weight.shape[0]) if getattr(weight, "ndim", 0) == 2 else None


def _type_rows(model: Any) -> int | None:
    for name, module in model.named_modules():
        if name.endswith("token_type_embeddings") and hasattr(module, "num_embeddings"):
            return int(module.num_embeddings)
    return None


def _positions(model: Any, config: Any) -> tuple[int | None, Literal["learned", "extrapolated"]]:
    """Return the longest sequence, and what happens beyond it.

    Roberta's family counts positions from the padding id plus one: a table of 514 rows with padding
    id 1 takes 512 tokens (``RobertaEmbeddings.create_position_ids_from_input_ids``).
    """
    if _has_two_parts(config):
        return _usable_of(model, "encoder"), "learned"
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in LEARNED_POSITIONS and hasattr(module, "num_embeddings"):
            return _usable(module), "learned"
    limit = getattr(config, "max_position_embeddings", None)
    is_computed = any("rotary" in name.lower() for name, _ in model.named_modules())
    return (limit if is_computed else None), "extrapolated"


def _has_two_parts(config: Any) -> bool:
    return bool(getattr(config, "is_encoder_decoder", False))


def _usable_of(model: Any, part: str) -> int | None:
    """Return the positions of an encoder or a decoder; None where it counts without end, like T5's."""
    for name, module in model.named_modules():
        parts = name.split(".")
        is_table = parts[-1] in LEARNED_POSITIONS and hasattr(module, "num_embeddings")
        if part in parts and is_table and not hasattr(module, "make_weight"):
            return _usable(module)
    return None


def _usable(module: Any) -> int:
    """Return the rows of a table that tokens can have: OPT and Roberta keep the first ones."""
    return int(module.num_embeddings - _first_position(module))


def _first_position(module: Any) -> int:
    if hasattr(module, "offset"):
        return int(module.offset)
    return 0 if module.padding_idx is None else int(module.padding_idx) + 1


def _skips_padding(model: Any) -> bool:
    if _has_two_parts(getattr(model, "config", None)):
        return False  # BART's tables keep rows free, too, and its positions count padding
    tables = [
        module for name, module in model.named_modules() if name.rpartition(".")[2] in LEARNED_POSITIONS
    ]
    return any(_first_position(module) > 0 for module in tables if hasattr(module, "num_embeddings"))


def _pools_last_token(model: Any) -> bool:
    """Return whether the classifier reads the last token that is not padding, as decoders do."""
    name, module = type(model).__name__, type(model).__module__
    if not name.endswith("ForSequenceClassification"):
        return False
    is_generic = any(base.__name__ == "GenericForSequenceClassification" for base in type(model).__mro__)
    return is_generic or module.rpartition(".")[2] in LAST_TOKEN_MODELS


LAST_TOKEN_MODELS = {
    "modeling_gpt2", "modeling_gptj", "modeling_gpt_neo", "modeling_gpt_neox", "modeling_opt",
    "modeling_bloom", "modeling_falcon", "modeling_mpt", "modeling_openai", "modeling_ctrl",
}  # fmt: skip
"""Modules whose sequence classifiers find the last token by the padding id of the configuration."""
