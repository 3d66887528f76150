"""Where model and data of a task come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, NonNegativeInt, PositiveInt, Tag

from stabsearch.config.part import Part, Text


class ModelConfig(Part):
    """A model with random weights, made from a Transformers configuration; nothing is downloaded."""

    config: dict[str, Any]
    """Fields of the model's configuration; ``model_type`` (``bert``, ...) names its class."""


class HeldOut(Part):
    """How much of the held-out rows is used."""

    eval_rows: NonNegativeInt = 256
    """Held-out rows, evenly spread over all, that a trial that survived is evaluated on at its horizon; 0:
    none. ``recommend --pareto`` and ``--utility loss`` go by this loss."""


class LocalData(HeldOut):
    """Local files: TSV, CSV, JSONL, Parquet or Arrow, told by their ending."""

    train: Text
    """Training rows; a relative path starts at the folder of the sweep file."""
    eval: Text | None = None
    """Held-out rows, in the same columns; without them trials evaluate nothing."""


class HubData(HeldOut):
    """A data set on the Hugging Face Hub, or a local folder of the same layout."""

    path: Text
    """Data set id (``nyu-mll/glue``), folder of the same layout, or folder that ``save_to_disk`` wrote."""
    name: Text | None = None
    """Configuration of the data set (``sst2``)."""
    split: Text = "train"
    """Split to train on."""
    eval_split: Text | None = None
    """Split that holds the held-out rows; without it trials evaluate nothing."""
    revision: Text | None = None
    """Commit of the data set, for a sweep that can be repeated."""


def _data_kind(value: Any) -> str | None:
    """Return which of the two kinds of data is meant, so that errors speak of one only."""
    if isinstance(value, LocalData | HubData):
        return "(local)" if isinstance(value, LocalData) else "(hub)"
    if not isinstance(value, Mapping):
        return None
    return "(hub)" if value.keys() & {"path", "name", "split", "eval_split", "revision"} else "(local)"


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


class TextTask(Part):
    """What all tasks on texts have in common: a model, its tokenizer, and rows."""

    type: Text
    """The kind of task."""
    model: ModelSource
    """Hub id (``google-bert/bert-base-uncased``), local folder, or ``{config: {...}}``."""
    tokenizer: Text | None = None
    """Hub id or local folder of the tokenizer; default: the model's own."""
    data: Data
    """Where the rows come from."""
    max_length: PositiveInt = 128
    """Longest sequence in tokens; longer texts are cut."""
    trust_remote_code: bool = False
    """Run code that comes with the model or the data set."""
