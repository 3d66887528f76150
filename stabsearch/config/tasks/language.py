"""Language models: the next token, the masked token, or an answer to a text."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from stabsearch.config.part import Text
from stabsearch.config.tasks.sources import TextTask


class CausalLMTask(TextTask):
    """The next token of each text, cross-entropy loss."""

    type: Literal["causal-lm"]
    """The kind of task."""
    text: Text = "text"
    """Column that holds the text, or with ``prompt`` the answer to it."""
    prompt: Text | None = None
    """Column that holds a prompt: it is read, and its tokens are not trained on (label -100)."""
    packing: bool = False
    """Put texts one after another into blocks of ``max_length`` tokens, as pretraining does."""
    max_length: PositiveInt = 512
    """Longest sequence in tokens; longer texts are cut, with ``packing`` split."""


class MaskedLMTask(TextTask):
    """Masked tokens of each text, cross-entropy loss."""

    type: Literal["masked-lm"]
    """The kind of task."""
    text: Text = "text"
    """Column that holds the text."""
    mlm_probability: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of tokens that are hidden and predicted."""
    packing: bool = False
    """Put texts one after another into blocks of ``max_length`` tokens, as pretraining does."""


class Seq2SeqTask(TextTask):
    """A text made of a text by an encoder and a decoder, cross-entropy loss."""

    type: Literal["seq2seq"]
    """The kind of task."""
    source: Text = "source"
    """Column that holds the text that is read."""
    target: Text = "target"
    """Column that holds the text that is written."""
    prefix: str = ""
    """Put in front of every text that is read (``"summarize: "``), as T5 wants it."""
    max_target_length: PositiveInt = 128
    """Longest target in tokens; longer ones are cut."""
