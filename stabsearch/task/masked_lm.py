"""Masked language models: tokens that were hidden.

The chance loss is that of guessing every token that may be hidden by its frequency, nats per token; the
Trainer's is a mean over the hidden tokens of a batch. Which tokens are hidden follows from the data seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, DataCollatorForLanguageModeling

from stabsearch.errors import UserError
from stabsearch.task.held_out import held_out_rows
from stabsearch.task.models import load_tokenizer, model_maker
from stabsearch.task.rows import Ragged, TaskTable, TokenRows, column, read_rows, texts
from stabsearch.task.special_tokens import config_fields, needed_token
from stabsearch.task.token_stream import IGNORED, cut, packed, unigram_loss
from stabsearch.task.workload import RowWorkload

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase, TrainingArguments

    from stabsearch.config import MaskedLMTask


def read(task: MaskedLMTask) -> TaskTable:
    """Return the training table and the column that the task names; makes nothing of it.

    Raises:
        UserError: the data cannot be read, or has no such column; the key says which.
    """
    frame = read_rows(task.data)
    column(frame, task.text, "text")
    return TaskTable(frame, {"text": task.text}, kind="none")


def build(task: MaskedLMTask, table: TaskTable | None = None) -> RowWorkload:
    """Return the workload that a sweep's task describes; reads data, tokenizer and model.

    Args:
        task: the part ``task`` of the sweep.
        table: its training table, where it has been read already.

    Raises:
        UserError: data, column, tokenizer or model cannot be used, or no token could be hidden; the key
            says which.
    """
    tokenizer = load_tokenizer(task)
    needed_token(task, tokenizer, "mask_token", "hides the tokens to be predicted")
    ids = _rows(task, tokenizer, (table or read(task)).frame)
    maskable_T = ids.flat_T[~np.isin(ids.flat_T, tokenizer.all_special_ids)]
    if not len(maskable_T):
        message = "the texts hold nothing but special tokens: none can be hidden"
        raise UserError(message, "look at the text column, and whether the tokenizer knows its words",
                        key=("task", "text"))  # fmt: skip
    return MaskedWorkload(
        rows=TokenRows({"input_ids": ids}),
        chance_loss=unigram_loss(maskable_T),
        tokenizer=tokenizer,
        collator=DataCollatorForMaskedLanguageModeling(tokenizer, mlm_probability=task.mlm_probability),
        make_model=model_maker(task, AutoModelForMaskedLM, **config_fields(task, tokenizer)),
        held_out=held_out_rows(task.data, lambda of: TokenRows({"input_ids": _rows(task, tokenizer, of)})),
    )


def _rows(task: MaskedLMTask, tokenizer: PreTrainedTokenizerBase, frame: pd.DataFrame) -> Ragged:
    """Return the tokens of every text or, packed, of blocks that texts follow one another in."""
    whole = texts(frame, task.text, "text")
    if task.packing:
        made = Ragged.of(tokenizer(whole, return_attention_mask=False, verbose=False)["input_ids"])
        return packed({"input_ids": made}, task.max_length)["input_ids"]
    made = tokenizer(whole, truncation=True, max_length=task.max_length, return_attention_mask=False)
    return cut(Ragged.of(made["input_ids"]), task.max_length)


class DataCollatorForMaskedLanguageModeling(DataCollatorForLanguageModeling):  # type: ignore[misc]
    """Hides tokens; at least one in every batch that has any to hide.

    The mean over no hidden token is 0/0, a loss of NaN: with small batches of short texts it comes by
    chance, and says nothing about the training.
    """

    hides_one = True
    """What the preflight asks of a collator that hides tokens."""

    def __post_init__(self) -> None:
        """Look up once which tokens are special: Transformers asks the tokenizer for every row."""
        super().__post_init__()
        self._special_ids = torch.tensor(self.tokenizer.all_special_ids)

    def torch_mask_tokens(
        self, inputs: Any, special_tokens_mask: Any | None = None, offset_mapping: Any | None = None
    ) -> tuple[Any, Any]:
        """Return tokens with some hidden, and what they were; -100 for those that were left alone."""
        whole, is_special = inputs.clone(), torch.isin(inputs, self._special_ids)
        hidden, labels = super().torch_mask_tokens(inputs, is_special, offset_mapping)
        if bool((labels != IGNORED).any()):
            return hidden, labels
        places = (~is_special).flatten().nonzero().flatten()
        if len(places):
            place = places[torch.randint(len(places), (), generator=self.generator)]
            labels.view(-1)[place] = whole.view(-1)[place]
            hidden.view(-1)[place] = self.tokenizer.mask_token_id
        return hidden, labels


@dataclass(frozen=True)
class MaskedWorkload(RowWorkload):
    """Rows whose collator draws random numbers: each trial's has a generator of its own."""

    def collator_for(self, args: TrainingArguments) -> Any:
        """Return a fresh collator: the same data seed hides the same tokens, whatever ran before."""
        seed = args.seed if args.data_seed is None else args.data_seed
        return DataCollatorForMaskedLanguageModeling(
            self.tokenizer, mlm_probability=self.collator.mlm_probability, seed=seed
        )
