"""The example notebook, executed anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

PATH = Path(__file__).parents[2] / "experiments" / "notebook.ipynb"
MOST_BYTES = 300_000  # chosen: GitHub shows it at once, and a diff of it can be read


def outputs_of(notebook: Any) -> list[tuple[str, ...]]:
    """Return the kinds of what each code cell shows, such as ``text/html``."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [tuple(sorted(kind for output in cell.outputs for kind in _kinds(output))) for cell in cells]


def _kinds(output: Any) -> list[str]:
    if output.get("name") == "stderr":  # what libraries warn of differs from machine to machine
        return []
    return list(output.get("data") or [output.output_type])


@pytest.fixture(scope="module")
def stored() -> Any:
    return nbformat.read(PATH, as_version=4)  # type: ignore[no-untyped-call]


def test_it_is_stored_with_its_outputs_and_small(stored: Any) -> None:
    """Whoever opens it on GitHub sees results; nothing in them runs or is loaded."""
    assert PATH.stat().st_size < MOST_BYTES
    kinds = outputs_of(stored)
    assert all(kinds)
    assert any("image/png" in kind for kind in kinds)
    text = PATH.read_text(encoding="utf-8")
    assert "<script" not in text
    assert 'src=\\"http' not in text
    assert "site-packages" not in text, "a place on the machine that executed it"


def test_it_runs_and_shows_the_same_kinds_of_things(stored: Any) -> None:
    """Real trials, so other numbers; no cell raises."""
    fresh = nbformat.from_dict(stored)  # type: ignore[no-untyped-call]
    NotebookClient(fresh, timeout=None, kernel_name="python3").execute()
    assert outputs_of(fresh) == outputs_of(stored)
    assert "the frontier" in str(fresh.cells[-1].outputs)
