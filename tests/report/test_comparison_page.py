"""The page of ``stabsearch compare --out moved.html``, as a browser shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from report_samples import make_answer, make_frontier, make_search, make_sweep

from experiments.on_loopback.browser import visit
from stabsearch.report.comparison import compared
from stabsearch.report.comparison_html import comparison_html
from stabsearch.report.findings import Findings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
HOSTILE = "<script>document.title = 'hacked'</script><img src=x onerror=document.title='hacked'>"


def page_of(home: Path, *found: Findings) -> Path:
    """Return the page of some sweeps, on disk."""
    comparison = compared([(home / f"{place}{HOSTILE[:20]}", each) for place, each in enumerate(found)])
    path = home / "moved.html"
    path.write_text(comparison_html(comparison), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "is_dark"), [(1200, False), (1200, True), (390, False)])
def test_it_shows_itself_in_every_light_and_width(
    browser: Browser, tmp_path: Path, width: int, is_dark: bool
) -> None:
    """No console error, no request beside its own, and nothing wider than the window."""
    search = {
        "warmup": [0, 25, 50, 75, 100],
        "max_grad_norm": [0, 0.5, 1.0, 2.0, 5.0, 10.0],
        "precision": ["fp32", "bf16"],
    }
    sweep = make_sweep(search=search)
    records = make_search(sweep, 120)
    found = Findings.of(sweep, records, make_frontier(sweep, records), make_answer())
    hostile = replace(found, versions={"torch": HOSTILE})
    path = page_of(tmp_path, found, hostile)
    with visit(browser, width=width, is_dark=is_dark) as seen:
        seen.page.goto(path.as_uri(), wait_until="load")
        assert (seen.errors, seen.requests) == ([], [path.as_uri()])
        assert seen.page.title().startswith("Comparison of ")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        assert seen.page.locator("main svg").count() >= 1
        assert seen.page.locator("script, img").count() == 0
        assert HOSTILE in seen.page.locator("ul.changes").inner_text()
