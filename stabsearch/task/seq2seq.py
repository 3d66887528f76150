"""Sequence to sequence: a text that is written after another was read.

The chance loss is that of guessing every token of the targets by its frequency, nats per token; the
Trainer's is a mean over these tokens. Nothing is generated in a trial, so Transformers' plain Trainer
trains it; the model itself shifts the labels to make what its decoder reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import AutoModelForSeq2SeqLM

from stabsearch.errors import UserError
from stabsearch.task.held_out import held_out_rows
from stabsearch.task.models import load_tokenizer, model_maker
from stabsearch.task.padding import SequencePadding
from stabsearch.task.rows import Ragged, TaskTable, TokenRows, column, read_rows, texts
from stabsearch.task.special_tokens import config_fields, decoder_fields, tokenizer_key
from stabsearch.task.token_stream import IGNORED, unigram_loss
from stabsearch.task.workload import RowWorkload

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

    from stabsearch.config import Seq2SeqTask


def read(task: Seq2SeqTask) -> TaskTable:
    """Return the training table and the columns that the task names; makes nothing of them.

    Raises:
        UserError: the data cannot be read, or has no such column; the key says which.
    """
    frame = read_rows(task.data)
    named = {"source": task.source, "target": task.target}
    for key, name in named.items():
        column(frame, name, key)
    return TaskTable(frame, named, kind="none")


def build(task: Seq2SeqTask, table: TaskTable | None = None) -> RowWorkload:
    """Return the workload that a sweep's task describes; reads data, tokenizer and model.

    Args:
        task: the part ``task`` of the sweep.
        table: its training table, where it has been read already.

    Raises:
        UserError: data, columns, tokenizer or model cannot be used; the key says which.
    """
    frame = (table or read(task)).frame
    tokenizer = load_tokenizer(task)
    rows = _rows(task, tokenizer, frame)
    labels = rows.columns["labels"]
    assert isinstance(labels, Ragged), "targets are lists"
    fields = {**config_fields(task, tokenizer), **decoder_fields(task, tokenizer)}
    return RowWorkload(
        rows=rows,
        chance_loss=unigram_loss(labels.flat_T),
        tokenizer=tokenizer,
        # no model: trials share the collator, and each has a model of its own
        collator=SequencePadding(tokenizer, label_pad_token_id=IGNORED),
        make_model=model_maker(task, AutoModelForSeq2SeqLM, **fields),
        held_out=held_out_rows(task.data, lambda of: _rows(task, tokenizer, of)),
    )


def _rows(task: Seq2SeqTask, tokenizer: PreTrainedTokenizerBase, frame: pd.DataFrame) -> TokenRows:
    sources = [task.prefix + text for text in texts(frame, task.source, "source")]
    read_ids = tokenizer(sources, truncation=True, max_length=task.max_length)["input_ids"]
    labels = Ragged.of(_targets(task, tokenizer, texts(frame, task.target, "target")))
    return TokenRows({"input_ids": Ragged.of(read_ids), "labels": labels})


def _targets(task: Seq2SeqTask, tokenizer: PreTrainedTokenizerBase, whole: list[str]) -> list[list[int]]:
    """Return the tokens of what is written, each with the end that stops the writing unless that was cut."""
    length = task.max_target_length
    made: list[list[int]] = tokenizer(text_target=whole, truncation=True, max_length=length)["input_ids"]
    # BERT's tokenizers have no end of text, and close with the end of a segment
    ends = [id for id in (tokenizer.eos_token_id, tokenizer.sep_token_id) if id is not None]
    if not ends:
        name = task.tokenizer or task.model
        raise UserError(f"the tokenizer of {name!r} has no eos_token, which ends every target",
                        "save a copy with eos_token set, and name its folder as task.tokenizer",
                        key=tokenizer_key(task))  # fmt: skip
    return [
        ids if len(ids) >= length or ids[-1:] in ([end] for end in ends) else [*ids, ends[0]] for ids in made
    ]
