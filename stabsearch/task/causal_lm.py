"""Causal language models: the next token of whole texts, of answers to prompts, or of conversations.

The chance loss is that of guessing every counted token by its frequency, nats per token; so is the
Trainer's: it sums over the tokens of an optimizer step that count, and divides by their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from stabsearch.errors import UserError
from stabsearch.task.chat import conversations
from stabsearch.task.held_out import held_out_rows
from stabsearch.task.models import load_tokenizer, model_maker
from stabsearch.task.padding import SequencePadding
from stabsearch.task.rows import Ragged, TaskTable, TokenRows, column, read_rows, texts
from stabsearch.task.special_tokens import config_fields, needed_token
from stabsearch.task.token_stream import IGNORED, cut, packed, place_in_row, unigram_loss
from stabsearch.task.workload import RowWorkload

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

    from stabsearch.config import CausalLMTask


def read(task: CausalLMTask) -> TaskTable:
    """Return the training table and the columns that the task names; makes nothing of them.

    Raises:
        UserError: the data cannot be read, or has no such column; the key says which.
    """
    frame = read_rows(task.data)
    named = {"messages": task.messages} if task.messages else {"text": task.text}
    if task.prompt:
        named["prompt"] = task.prompt
    for key, name in named.items():
        column(frame, name, key)
    # conversations are no column of texts: what is wrong with one is said where they are written out
    return TaskTable(frame, {} if task.messages else named, kind="none")


def build(task: CausalLMTask, table: TaskTable | None = None) -> RowWorkload:
    """Return the workload that a sweep's task describes; reads data, tokenizer and model.

    Args:
        task: the part ``task`` of the sweep.
        table: its training table, where it has been read already.

    Raises:
        UserError: data, columns, tokenizer or model cannot be used, or no token would be trained on; the
            key says which.
    """
    tokenizer = load_tokenizer(task, needs_padding=False)
    fields = config_fields(task, tokenizer)
    rows = _rows(task, _tokens(task, tokenizer, (table or read(task)).frame))
    if tokenizer.pad_token is None:
        # any token will do: padding is hidden by the mask, and its labels are -100 whatever it is
        needed_token(task, tokenizer, "eos_token", "stands in for the pad_token that it lacks, too")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"  # positions of a row count from its first token
    return RowWorkload(
        rows=TokenRows(rows),
        chance_loss=unigram_loss(rows["labels"].flat_T),
        tokenizer=tokenizer,
        collator=SequencePadding(tokenizer, label_pad_token_id=IGNORED),
        make_model=model_maker(task, AutoModelForCausalLM, **fields),
        held_out=held_out_rows(task.data, lambda of: TokenRows(_rows(task, _tokens(task, tokenizer, of)))),
    )


@dataclass(frozen=True)
class _Sequences:
    """Tokens of every text, uncut, and how many of each one's are read only."""

    ids: Ragged
    num_read_N: NDArray[np.int64]


def _tokens(task: CausalLMTask, tokenizer: PreTrainedTokenizerBase, frame: pd.DataFrame) -> _Sequences:
    if task.messages:
        # a template writes beginnings and ends itself
        asked, answered = conversations(task, tokenizer, frame)
        read, learned = _ids(tokenizer, asked, begins=False), _ids(tokenizer, answered, begins=False)
        return _joined(read, learned, [])
    end = [needed_token(task, tokenizer, "eos_token", "ends every text")]
    answers = texts(frame, task.text, "text")
    if task.prompt is None:
        return _joined([[]] * len(answers), _ids(tokenizer, answers, begins=True), end)
    prompts = _ids(tokenizer, texts(frame, task.prompt, "prompt"), begins=True)
    return _joined(prompts, _ids(tokenizer, answers, begins=False), end)


def _joined(prompts: list[list[int]], answers: list[list[int]], end: list[int]) -> _Sequences:
    ids = [prompt + answer + end for prompt, answer in zip(prompts, answers, strict=True)]
    return _Sequences(Ragged.of(ids), np.array([len(prompt) for prompt in prompts], dtype=np.int64))


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str], *, begins: bool) -> list[list[int]]:
    """Return the tokens of texts, without the end that some tokenizers add; a beginning only if asked for."""
    made = tokenizer(
        texts, add_special_tokens=begins, return_special_tokens_mask=True,
        return_attention_mask=False, verbose=False,
    )  # fmt: skip
    return [
        _without_end(ids, added)
        for ids, added in zip(made["input_ids"], made["special_tokens_mask"], strict=True)
    ]


def _without_end(ids: list[int], is_added: list[int]) -> list[int]:
    length = len(ids)
    while length and is_added[length - 1]:
        length -= 1
    return ids[:length]


def _rows(task: CausalLMTask, made: _Sequences) -> dict[str, Ragged]:
    """Return tokens and labels of every row; -100 where nothing is learned."""
    is_read_T = place_in_row(made.ids) < np.repeat(made.num_read_N, np.diff(made.ids.starts_N1))
    columns = {
        "input_ids": made.ids,
        "labels": Ragged(np.where(is_read_T, IGNORED, made.ids.flat_T), made.ids.starts_N1),
    }
    if task.packing:
        columns = packed(columns, task.max_length)
    else:
        columns = {name: cut(column, task.max_length) for name, column in columns.items()}
    labels = columns["labels"]
    labels.flat_T[labels.starts_N1[:-1]] = IGNORED  # nothing stands before it that it could be told from
    if not (labels.flat_T != IGNORED).any():
        raise _nothing_learned(task)
    return columns


def _nothing_learned(task: CausalLMTask) -> UserError:
    if task.prompt or task.messages:
        message = f"no answer has a token among the first {task.max_length} of its row: prompts fill them all"
        return UserError(message, "raise task.max_length, or shorten the prompts", key=("task", "max_length"))
    return UserError("no text has a token to be predicted", "look at the text column", key=("task", "text"))
