"""Language models: the next token, the masked token, or an answer to a text."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from stabsearch.config.part import Text, wrong
from stabsearch.config.tasks.sources import TextTask


class CausalLMTask(TextTask):
    """The next token of each text, cross-entropy loss over all texts or over answers alone."""

    type: Literal["causal-lm"]
    """The kind of task."""
    text: Text = "text"
    """Column that holds the text, or with ``prompt`` the answer to it; an end-of-text token is added."""
    prompt: Text | None = None
    """Column that holds a prompt: it is read, and its tokens are not trained on (label -100). Prompt and
    answer are put together as they are: one of them holds the space or line break between them."""
    messages: Text | None = None
    """Column that holds conversations, lists of ``role`` and ``content``, instead of ``text``; the
    tokenizer's chat template writes them out, and the last answer alone is trained on."""
    packing: bool = False
    """Put texts one after another into blocks of ``max_length`` tokens, as pretraining does: attention
    reaches across texts, and what does not fill the last block is left out."""
    max_length: Annotated[int, Field(ge=2)] = 512
    """Longest row in tokens; longer texts are cut at their end, with ``packing`` split."""

    @model_validator(mode="after")
    def _one_kind_of_text(self) -> Self:
        if self.messages is not None and self.prompt is not None:
            raise wrong(
                "a conversation holds its prompts itself", "remove either prompt or messages", ("prompt",)
            )
        return self


class MaskedLMTask(TextTask):
    """Masked tokens of each text, cross-entropy loss."""

    type: Literal["masked-lm"]
    """The kind of task."""
    text: Text = "text"
    """Column that holds the text."""
    mlm_probability: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of tokens that are hidden and predicted; which ones follows from the data seed."""
    packing: bool = False
    """Put texts one after another into blocks of ``max_length`` tokens, as pretraining does: attention
    reaches across texts, and what does not fill the last block is left out."""


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
