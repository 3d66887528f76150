"""The task that needs nothing: no download, no data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from stabsearch.config.part import Part


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
