"""Conversations, written out by a tokenizer's chat template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from stabsearch.errors import UserError
from stabsearch.task.rows import column
from stabsearch.task.special_tokens import tokenizer_key

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

    from stabsearch.config import CausalLMTask

KEY = ("task", "messages")
Messages = list[dict[str, str]]


def conversations(
    task: CausalLMTask, tokenizer: PreTrainedTokenizerBase, frame: pd.DataFrame
) -> tuple[list[str], list[str]]:
    """Return all of each conversation up to its last answer, and these answers, as the template writes them.

    Raises:
        UserError: the tokenizer has no template, or a row is no conversation that the template can write.
    """
    if tokenizer.chat_template is None:
        name = task.tokenizer or task.model
        raise UserError(f"the tokenizer of {name!r} has no chat template",
                        "name a tokenizer that has one, or give text and prompt columns instead of messages",
                        key=tokenizer_key(task))  # fmt: skip
    assert task.messages is not None, "only tasks with conversations come here"
    cells = column(frame, task.messages, "messages")
    parts = [_parts(tokenizer, _messages(cell, row), row) for row, cell in enumerate(cells)]
    return [asked for asked, _ in parts], [answered for _, answered in parts]


def _messages(cell: Any, row: int) -> Messages:
    """Return the messages of a row; from Parquet they come as an array."""
    messages = cell.tolist() if hasattr(cell, "tolist") else cell
    if not isinstance(messages, list) or not messages:
        raise UserError(f"row {row} holds no conversation: {_short(messages)}",
                        "give a list of messages, each with role and content", key=KEY)  # fmt: skip
    for message in messages:
        if not _is_message(message):
            raise UserError(f"row {row} holds a message without role and content: {_short(message)}",
                            "role and content are texts", key=KEY)  # fmt: skip
    if len(messages) < 2:
        raise UserError(f"the conversation of row {row} has nothing before its answer",
                        "give it a message that is answered, or name texts alone", key=KEY)  # fmt: skip
    if messages[-1]["role"] != "assistant":
        raise UserError(f"the conversation of row {row} ends with a message of role {messages[-1]['role']!r}",
                        "the last message is what is learned: its role has to be 'assistant'",
                        key=KEY)  # fmt: skip
    return messages


def _is_message(message: Any) -> bool:
    return isinstance(message, Mapping) and all(isinstance(message.get(k), str) for k in ("role", "content"))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _parts(tokenizer: PreTrainedTokenizerBase, messages: Messages, row: int) -> tuple[str, str]:
    try:
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        asked = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    except (TemplateError, ValueError, TypeError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"the chat template cannot write row {row}: {reason}",
                        "check the order of roles in this row", key=KEY) from None  # fmt: skip
    assert isinstance(whole, str), "untokenised templates give texts"
    assert isinstance(asked, str), "untokenised templates give texts"
    if not whole.startswith(asked):
        raise UserError(f"the chat template writes what stands before row {row}'s last answer in two ways",
                        "it changes earlier messages when an answer follows; give text and prompt columns",
                        key=KEY)  # fmt: skip
    return asked, whole.removeprefix(asked)
