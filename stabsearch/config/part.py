"""What every part of ``sweep.yaml`` has in common: it is frozen, strict, and says what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from stabsearch.errors import KeyPath

Text = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """A part of the sweep: frozen, and nothing is converted silently (``"5"`` is no number)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def wrong(message: str, hint: str = "", key: KeyPath = ()) -> PydanticCustomError:
    """Return an error for the part that is validated, or for ``key`` beneath it."""
    return PydanticCustomError("sweep_error", "{message}", {"message": message, "hint": hint, "key": key})
