"""Headless Chromium that reaches this machine only, and remembers what pages complained about."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright, Route, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--no-sandbox",  # of no use for root in a container, and the pages are our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HERE = ("file:", "data:", "blob:", "about:", "http://127.0.0.1:", "http://localhost:")


@dataclass
class Visit:
    """One page, and everything it said or asked for that it should not have."""

    page: Page
    errors: list[str] = field(default_factory=list)
    """Uncaught exceptions and console errors."""
    requests: list[str] = field(default_factory=list)
    """Every address that was asked for, in order, the page's own first."""
    refused: list[str] = field(default_factory=list)
    """Those of them that lie outside this machine; none is let through."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium: Debian's, where there is one, else the one that Playwright downloaded.

    Playwright keeps an event loop running in this thread meanwhile: nothing else may start one.
    """
    with sync_playwright() as playwright:
        browser = _launch(playwright)
        try:
            yield browser
        finally:
            browser.close()


def _launch(playwright: Playwright) -> Browser:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None and not Path(playwright.chromium.executable_path).exists():
        raise RuntimeError("no Chromium here: run .ci/install_browser")
    return playwright.chromium.launch(executable_path=path, args=list(SWITCHES))


@contextmanager
def visit(
    browser: Browser, *, width: int = 1280, height: int = 900, is_dark: bool = False, **options: Any
) -> Iterator[Visit]:
    """Open an empty page of that size in px; ``options`` go to Playwright's ``new_context``."""
    scheme = "dark" if is_dark else "light"
    size = {"width": width, "height": height}
    context = browser.new_context(viewport=size, color_scheme=scheme, **options)
    seen = Visit(context.new_page())

    def gate(route: Route) -> None:
        url = route.request.url
        seen.requests.append(url)
        if url.startswith(HERE):
            route.continue_()
        else:
            seen.refused.append(url)
            route.abort()

    context.route("**/*", gate)
    seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
    seen.page.on("console", lambda said: seen.errors.append(said.text) if said.type == "error" else None)
    try:
        yield seen
    finally:
        context.close()
