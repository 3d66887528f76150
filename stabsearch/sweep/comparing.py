"""Sweeps side by side, each read from its study alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stabsearch.errors import UserError
from stabsearch.sweep.reading import read_sweep

if TYPE_CHECKING:
    from stabsearch.report.comparison import Comparison

KINDS = (".png", ".html")


def compare_sweeps(
    folders: Sequence[Path], *, max_risk: float | None = None, out: Path | None = None
) -> Comparison:
    """Return how the frontier moved from the first sweep to each of the others; writes nothing.

    Args:
        folders: of two or more sweeps, finished or not.
        max_risk: failure probability that all are read at; default: the first's.
        out: where a picture will be drawn, so that a wrong name is said before anything is read.

    Raises:
        UserError: fewer than two, one twice, no sweep or a damaged one, no context in common, a picture
            of an unknown kind.
    """
    from stabsearch.report.comparison import check_folders, compared

    if out is not None and out.suffix.lower() not in KINDS:
        raise UserError(f"--out {out}: a picture is a .png or a .html", f"--out {out.stem or 'compare'}.png")
    check_folders(folders)
    return compared([(folder, read_sweep(folder).findings) for folder in folders], max_risk)


def draw(comparison: Comparison, out: Path) -> None:
    """Write a comparison as a picture: PNG, or a page of its own, by the ending of the name.

    Raises:
        UserError: nothing can be written there.
    """
    from stabsearch.report.comparison_html import comparison_html
    from stabsearch.report.comparison_plot import comparison_png
    from stabsearch.report.files import write_atomically

    is_page = out.suffix.lower() == ".html"
    content = comparison_html(comparison).encode() if is_page else comparison_png(comparison)
    try:
        write_atomically(out, content)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror or error}", "choose another place") from None
