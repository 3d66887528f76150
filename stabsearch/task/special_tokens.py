"""Tokens that stand for no text: what the tokenizer has of them, and what a model is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import CONFIG_MAPPING

from stabsearch.errors import KeyPath, UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stabsearch.config import TextTask

ROLES = ("bos_token_id", "eos_token_id", "pad_token_id")


def tokenizer_key(task: TextTask) -> KeyPath:
    """Return the key of a sweep that says which tokenizer is used."""
    return ("task", "tokenizer" if task.tokenizer else "model")


def needed_token(task: TextTask, tokenizer: PreTrainedTokenizerBase, kind: str, purpose: str) -> int:
    """Return the id of a special token.

    Args:
        task: names the tokenizer.
        tokenizer: has the token, or not.
        kind: ``eos_token`` or ``mask_token``.
        purpose: what it is needed for.

    Raises:
        UserError: the tokenizer has no such token.
    """
    id = getattr(tokenizer, f"{kind}_id")
    if id is None:
        name = task.tokenizer or task.model
        raise UserError(
            f"the tokenizer of {name!r} has no {kind}, which {purpose}",
            f"save a copy with {kind} set, and name its folder as task.tokenizer",
            key=tokenizer_key(task),
        )
    return int(id)


def config_fields(task: TextTask, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return what a model from a configuration takes from its tokenizer, where the sweep says nothing of it.

    The number of tokens, and the ids of the special ones: a class's defaults belong to another tokenizer.
    A checkpoint keeps its own. Padding that is a beginning or an end as well is not named: Llama's
    embedding never trains the row of the padding id.
    """
    if isinstance(task.model, str):
        return {}
    own = {name: getattr(tokenizer, name) for name in ROLES}
    if own["pad_token_id"] in {own["eos_token_id"], own["bos_token_id"]}:
        own["pad_token_id"] = None
    known = {"vocab_size": len(tokenizer), **{name: id for name, id in own.items() if id is not None}}
    return {name: value for name, value in known.items() if name not in task.model.config}


def decoder_fields(task: TextTask, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return what a model from a configuration needs to make its decoder's inputs of labels.

    Padding, which stands there for labels that do not count, and the token that it starts with. That one
    plays the part that it plays in the class's defaults (the end token in BART, padding in Marian); where
    those name none, it is padding, as in T5. A checkpoint, or a sweep that names them, keeps its own.
    """
    if isinstance(task.model, str):
        return {}
    needed = {"pad_token_id": tokenizer.pad_token_id}
    model_type = task.model.config.get("model_type")
    default = CONFIG_MAPPING[model_type]() if model_type in CONFIG_MAPPING else None
    start = getattr(default, "decoder_start_token_id", None)
    roles = [role for role in ROLES if start is not None and getattr(default, role, None) == start]
    needed["decoder_start_token_id"] = getattr(tokenizer, roles[0] if roles else "pad_token_id")
    return {name: id for name, id in needed.items() if id is not None and name not in task.model.config}
