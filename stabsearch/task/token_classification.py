"""Token classification: a class per word, cross-entropy loss over the first token of each.

The chance loss is the entropy of the classes of these tokens, nats per token; the Trainer's is a mean over
them. Shape letters: N rows, T words or tokens of all rows one after another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import AutoModelForTokenClassification

from stabsearch.errors import UserError
from stabsearch.task.held_out import before, held_out_rows, refuse_unknown
from stabsearch.task.labels import LABEL_KEY, ClassLabels, is_missing
from stabsearch.task.list_columns import flat, is_class_id, lists, refuse
from stabsearch.task.models import model_maker
from stabsearch.task.padding import TokenPadding
from stabsearch.task.rows import Ragged, TaskTable, TokenRows, Tokens, column, read_rows, token_rows
from stabsearch.task.token_stream import IGNORED
from stabsearch.task.word_tokens import load_word_tokenizer
from stabsearch.task.workload import RowWorkload

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

    from stabsearch.config import TokenClassificationTask


def read(task: TokenClassificationTask) -> TaskTable:
    """Return the training table and the columns that the task names; makes nothing of them.

    Raises:
        UserError: the data cannot be read, or has no such column; the key says which.
    """
    frame = read_rows(task.data)
    for key, name in {"text": task.text, "label": task.label}.items():
        column(frame, name, key)
    return TaskTable(frame, {"text": task.text}, (task.label,), "token-classes")


def build(task: TokenClassificationTask, table: TaskTable | None = None) -> RowWorkload:
    """Return the workload that a sweep's task describes; reads data, tokenizer and model.

    Args:
        task: the part ``task`` of the sweep.
        table: its training table, where it has been read already.

    Raises:
        UserError: data, columns, labels, tokenizer or model cannot be used; the key says which.
    """
    frame = (table or read(task)).frame
    words = _words(column(frame, task.text, "text"))
    tags = lists(column(frame, task.label, "label"), "label")
    classes = word_classes(frame[task.label], tags, words)
    tokenizer = load_word_tokenizer(task)
    ids, labels = _labelled_tokens(tokenizer, words, _split(classes.ids_N, words), task.max_length)
    is_counted_T = labels.flat_T != IGNORED
    if not is_counted_T.any():
        raise UserError(f"no word has a token among the first {task.max_length} of its row",
                        "raise task.max_length", key=("task", "max_length"))  # fmt: skip

    def held_out(of: pd.DataFrame) -> TokenRows:
        return _known_rows(task, tokenizer, of, frame, classes)

    return RowWorkload(
        rows=token_rows(Tokens(ids), labels),
        chance_loss=ClassLabels(labels.flat_T[is_counted_T], classes.names).chance_loss,
        tokenizer=tokenizer,
        collator=TokenPadding(tokenizer, label_pad_token_id=IGNORED),
        make_model=model_maker(task, AutoModelForTokenClassification, num_labels=classes.num_classes),
        held_out=held_out_rows(task.data, held_out),
    )


def _known_rows(
    task: TokenClassificationTask, tokenizer: PreTrainedTokenizerBase, held_out: pd.DataFrame,
    training: pd.DataFrame, known: ClassLabels,
) -> TokenRows:  # fmt: skip
    """Return held-out rows, their classes as the training rows number them."""
    words, tags = before(held_out, training, task.text), before(held_out, training, task.label)
    listed = _words(words)
    classes = word_classes(tags, lists(tags, "label"), listed)
    refuse_unknown(classes.names, known.names)
    end = len(held_out)
    of_words = _split(classes.ids_N, listed)[:end]
    ids, labels = _labelled_tokens(tokenizer, listed[:end], of_words, task.max_length)
    return token_rows(Tokens(ids), labels)


def _words(texts: pd.Series[Any]) -> list[list[str]]:
    words = lists(texts, "text")
    for row, found in enumerate(words):
        if not found or any(not isinstance(word, str) for word in found):
            what = "no word" if not found else "something that is no text among its words"
            raise UserError(f"column {texts.name!r} holds {what}, in row {row}",
                            "drop such rows, or give them their words as a list of texts",
                            key=("task", "text"))  # fmt: skip
    return words


def word_classes(column: pd.Series[Any], tags: list[list[Any]], words: list[list[str]]) -> ClassLabels:
    """Return the class of every word, all rows one after another; names are sorted, integers are ids.

    Args:
        column: that the tags are from.
        tags: of each row.
        words: of each row.

    Raises:
        UserError: tags are missing, no classes, or not one per word, or all words have the same.
    """
    for row, (given, meant) in enumerate(zip(tags, words, strict=True)):
        if len(given) != len(meant):
            counts = f"{len(given)} labels for {len(meant)} words, in row {row}"
            raise UserError(f"label column {column.name!r} holds {counts}",
                            "give every word a label of its own, or drop such rows",
                            key=LABEL_KEY)  # fmt: skip
    entries = flat(tags)
    refuse(column, tags, [is_missing(entry) for entry in entries], "a missing label",
           "give every word a class; those that belong to none are often called O")  # fmt: skip
    classes = _classes(column, tags, entries)
    if len(np.unique(classes.ids_N)) < 2:
        raise UserError(
            f"label column {column.name!r} holds one class only: {entries[0]!r}",
            "nothing can be learned from one class; check the column and the rows that were read",
            key=LABEL_KEY,
        )
    return classes


def _classes(column: pd.Series[Any], tags: list[list[Any]], entries: list[Any]) -> ClassLabels:
    is_name_T = np.array([isinstance(entry, str) for entry in entries])
    if is_name_T.any():
        refuse(column, tags, ~is_name_T, "names and, among them, something else",
               "write all classes as names, or all as integers from 0")  # fmt: skip
        names, ids_T = np.unique(np.array(entries, dtype=object), return_inverse=True)
        return ClassLabels(ids_T.astype(np.int64), tuple(names))
    refuse(column, tags, [not is_class_id(entry) for entry in entries], "a value that is no class",
           "write classes as names, or as integers from 0")  # fmt: skip
    ids_T = np.array(entries).astype(np.int64)
    return ClassLabels(ids_T, tuple(str(i) for i in range(int(ids_T.max()) + 1)))


def _split(ids_T: Any, words: list[list[str]]) -> list[list[int]]:
    ends = np.cumsum([len(row) for row in words])[:-1]
    return [ids.tolist() for ids in np.split(ids_T, ends)]


def _labelled_tokens(
    tokenizer: PreTrainedTokenizerBase, words: list[list[str]], ids: list[list[int]], max_length: int
) -> tuple[list[list[int]], Ragged]:
    """Return the tokens of every row, and their labels: the class of a word at its first token."""
    made = tokenizer(
        words, is_split_into_words=True, truncation=True, max_length=max_length, return_attention_mask=False
    )
    labels = [_first_tokens(made.word_ids(row), of_words) for row, of_words in enumerate(ids)]
    return made["input_ids"], Ragged.of(labels, np.int64)


def _first_tokens(word_ids: list[int | None], of_words: list[int]) -> list[int]:
    before = [None, *word_ids]
    return [
        IGNORED if word is None or word == last else of_words[word]
        for last, word in zip(before, word_ids, strict=False)
    ]
