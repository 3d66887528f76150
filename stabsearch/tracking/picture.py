"""The frontier's picture, narrow enough for a description in MLflow, which scales nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAX_WIDTH_PX = 760  # chosen: fits beside MLflow's bars in a window of 1,280 px


def write_preview(picture: Path, preview: Path) -> None:
    """Write a copy of a PNG that is at most 760 px wide."""
    from PIL import Image

    with Image.open(picture) as image:
        image.thumbnail((MAX_WIDTH_PX, image.height), Image.Resampling.LANCZOS)
        image.save(preview, optimize=True)
