"""The browser that tests look at pages with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from experiments.on_loopback.browser import visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


def test_a_page_that_asks_the_network_is_found_out_and_gets_nothing(browser: Browser) -> None:
    with visit(browser) as seen:
        seen.page.set_content("<img src='http://example.invalid/a.png'><p>here</p>")
        seen.page.wait_for_load_state("load")
    assert seen.refused == ["http://example.invalid/a.png"]


def test_a_page_with_an_error_is_found_out(browser: Browser) -> None:
    with visit(browser) as seen:
        seen.page.set_content("<script>console.error('broken'); throw new Error('thrown')</script>")
        seen.page.wait_for_load_state("load")
    assert "broken" in seen.errors
    assert any("thrown" in error for error in seen.errors)


def test_a_page_can_be_dark(browser: Browser) -> None:
    with visit(browser, is_dark=True) as seen:
        assert seen.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
