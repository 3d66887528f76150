"""The documentation as a site: built without a warning, and opened by a browser that reaches no network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from markdown_pages import ROOT

from docs.contents import SECTIONS, pages
from experiments.on_loopback.browser import visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
LISTED = [name for section in SECTIONS for name in pages(section)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", "-b", "html", "-c", "docs"]
    done = subprocess.run([*command, ".", str(folder)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_no_page_asks_the_network_or_has_an_error(browser: Browser, site: Path) -> None:
    with visit(browser) as seen:
        for name in LISTED:
            seen.page.goto((site / f"{name}.html").as_uri())
    assert seen.refused == []
    assert seen.errors == []


def test_every_page_is_in_the_contents_at_the_side(browser: Browser, site: Path) -> None:
    with visit(browser) as seen:
        seen.page.goto((site / "index.html").as_uri())
        seen.page.wait_for_url("**/README.html")
        shown = seen.page.locator(".sidebar-tree a.reference.internal").count()
    assert shown == len(LISTED)


def test_the_search_finds_a_rule_by_its_number_without_a_server(browser: Browser, site: Path) -> None:
    with visit(browser) as seen:
        seen.page.goto(f"{(site / 'search.html').as_uri()}?q=STAB-D018")
        seen.page.wait_for_selector("#search-results li a")
        found = seen.page.locator("#search-results").inner_text()
    assert "Rules of the preflight" in found
    assert seen.errors == []


@pytest.mark.parametrize("name", ["README", "docs/cli", "docs/sweep", "docs/python-api"])
def test_a_page_does_not_run_over_the_side_of_a_phone(browser: Browser, site: Path, name: str) -> None:
    with visit(browser, width=390, height=844) as seen:
        seen.page.goto((site / f"{name}.html").as_uri())
        assert _width_of_content(seen.page) <= 390


def _width_of_content(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))
