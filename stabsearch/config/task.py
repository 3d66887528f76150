"""What is trained: the part ``task`` of ``sweep.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, PositiveInt, Tag

from stabsearch.config.part import Part, Text


class ModelConfig(Part):
    """A model with random weights, made from a Transformers configuration; nothing is downloaded."""

    config: dict[str, Any]
    """Fields of the model's configuration; ``model_type`` (``bert``, ...) names its class."""


class QuickstartTask(Part):
    """A small BERT from a configuration on generated sentences: works offline, in seconds."""

    type: Literal["quickstart"] = "quickstart"
    """The kind of task."""
    num_rows: Annotated[int, Field(ge=64)] = 2048
    """Generated training sentences."""
    num_classes: Annotated[int, Field(ge=2, le=20)] = 4
    """Topics to tell apart."""
    label_noise: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of labels replaced by a random one, so that the task cannot be solved fully."""
    hidden_size: Annotated[int, Field(ge=8, multiple_of=8)] = 64
    """Width of the BERT."""
    num_hidden_layers: PositiveInt = 2
    """Depth of the BERT."""


class LocalData(Part):
    """Local files: TSV, CSV, JSONL or Parquet, told by their ending."""

    train: Text
    """Training rows; a relative path starts at the folder of the sweep file."""
    eval: Text | None = None
    """Held-out rows, not needed by a sweep."""


class HubData(Part):
    """A data set on the Hugging Face Hub, or a local folder of the same layout."""

    path: Text
    """Data set id (``nyu-mll/glue``) or folder."""
    name: Text | None = None
    """Configuration of the data set (``sst2``)."""
    split: Text = "train"
    """Split to train on."""
    revision: Text | None = None
    """Commit of the data set, for a sweep that can be repeated."""


def _data_kind(value: Any) -> str | None:
    """Return which of the two kinds of data is meant, so that errors speak of one only."""
    if isinstance(value, LocalData | HubData):
        return "(local)" if isinstance(value, LocalData) else "(hub)"
    if not isinstance(value, Mapping):
        return None
    return "(hub)" if value.keys() & {"path", "name", "split", "revision"} else "(local)"


def _model_kind(value: Any) -> str | None:
    if isinstance(value, Mapping | ModelConfig):
        return "(config)"
    return "(name)" if isinstance(value, str) else None


Data = Annotated[
    Annotated[LocalData, Tag("(local)")] | Annotated[HubData, Tag("(hub)")], Discriminator(_data_kind)
]
ModelSource = Annotated[
    Annotated[Text, Tag("(name)")] | Annotated[ModelConfig, Tag("(config)")], Discriminator(_model_kind)
]


class SequenceClassificationTask(Part):
    """One label per text, cross-entropy loss."""

    type: Literal["sequence-classification"]
    """The kind of task."""
    model: ModelSource
    """Hub id (``google-bert/bert-base-uncased``), local folder, or ``{config: {...}}``."""
    tokenizer: Text | None = None
    """Hub id or local folder of the tokenizer; default: the model's own."""
    data: Data
    """Where the rows come from."""
    text: Text = "text"
    """Column that holds the text."""
    text_pair: Text | None = None
    """Column that holds the second text of a pair."""
    label: Text = "label"
    """Column that holds the class: integers from 0, or names."""
    max_length: PositiveInt = 128
    """Longest sequence in tokens; longer texts are cut."""
    trust_remote_code: bool = False
    """Run code that comes with the model or the data set."""


Task = Annotated[QuickstartTask | SequenceClassificationTask, Field(discriminator="type")]
