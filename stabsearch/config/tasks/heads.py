"""Tasks whose model has a head on top: classes, several labels, numbers, or a class per token."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from stabsearch.config.part import Text
from stabsearch.config.tasks.sources import TextTask

Columns = Annotated[tuple[Text, ...], Field(strict=False, min_length=1)]
"""Names of columns, as a YAML list."""


class LabelledTextTask(TextTask):
    """A text, or a pair of texts, with something to be said of it."""

    text: Text = "text"
    """Column that holds the text."""
    text_pair: Text | None = None
    """Column that holds the second text of a pair."""


class SequenceClassificationTask(LabelledTextTask):
    """One label per text, cross-entropy loss."""

    type: Literal["sequence-classification"]
    """The kind of task."""
    label: Text = "label"
    """Column that holds the class: integers from 0, or names."""


class MultiLabelTask(LabelledTextTask):
    """Any number of labels per text, binary cross-entropy loss."""

    type: Literal["multi-label"]
    """The kind of task."""
    label: Text | Columns = "labels"
    """Column that holds a list per row (names, or a 0 or 1 per label), or one column of 0 and 1 per label."""


class RegressionTask(LabelledTextTask):
    """A number, or several, per text; squared error."""

    type: Literal["regression"]
    """The kind of task."""
    label: Text | Columns = "label"
    """Column of numbers, or one column per number."""


class TokenClassificationTask(TextTask):
    """One class per word, cross-entropy loss over the first token of each word."""

    type: Literal["token-classification"]
    """The kind of task."""
    text: Text = "tokens"
    """Column that holds the words of each row, as a list."""
    label: Text = "ner_tags"
    """Column that holds a class per word, as a list: integers from 0, or names."""
    max_length: PositiveInt = 128
    """Longest sequence in tokens; longer rows are cut."""
